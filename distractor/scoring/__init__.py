"""Log-probabilities, written answers and what is computed from them."""
