"""Means with intervals, tests over item groups and seeds, the shape of a curve, and the verdict."""
