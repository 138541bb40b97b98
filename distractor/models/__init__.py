"""Models: where they are, how they are loaded, and their sites and hooks."""
