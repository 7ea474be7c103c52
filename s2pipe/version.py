"""The version of this package, for all who record or report it."""

__version__ = "0.1.0"
