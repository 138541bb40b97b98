"""`distractor compare`: what differs between models, and which differences are more than noise."""
