"""What a comparison of checkpoints is made of: what changes by itself, curves over steps, and how both are shown."""
