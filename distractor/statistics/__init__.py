"""Intervals, tests and the verdict."""
