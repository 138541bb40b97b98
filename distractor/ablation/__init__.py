"""`distractor ablate`: scores a task under every condition, judges the curves over size, and gives the verdict."""
