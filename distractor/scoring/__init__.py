"""Scores a task on models: tokens, log-probabilities, generated answers, and the quantities computed from them."""
