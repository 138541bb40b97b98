"""The version of this package, as it is recorded with results."""

__version__ = "0.2.0"
