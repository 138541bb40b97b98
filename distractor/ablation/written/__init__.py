"""Written answers: models generate text, and the answer is read from it."""
