"""Places within a model: what an exchange there changes, how sure that is, which moves first, and how it is drawn."""
