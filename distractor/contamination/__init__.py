"""`distractor tasks contamination`: does a model know the official rows? Fresh items and next words beside them."""
