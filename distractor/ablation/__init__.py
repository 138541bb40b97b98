"""The main job: `distractor ablate`."""
