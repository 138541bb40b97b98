"""`distractor compare`: checkpoints side by side."""
