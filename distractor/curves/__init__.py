"""`distractor shape`: the shape of any curve over size."""
