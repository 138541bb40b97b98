"""`distractor ablate --format generate` or `cot`: models write text, and the answer is read from it."""
