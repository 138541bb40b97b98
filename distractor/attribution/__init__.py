"""`distractor attribute`: which sites produce the answers."""
