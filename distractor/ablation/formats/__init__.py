"""`distractor ablate --format`: one task in several prompt formats, side by side."""
