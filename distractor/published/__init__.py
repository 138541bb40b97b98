"""Published accuracies of other models, under a user's own curve."""
