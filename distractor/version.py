"""The version of the package. It is recorded with results."""

__version__ = "0.2.0"
