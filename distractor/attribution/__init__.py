"""`distractor attribute`: which sites and positions produce the answers."""
