"""Exceptions for data and configs that are missing, unreadable or not as expected."""

from __future__ import annotations


class DataError(ValueError):
    """Names in one line the file, table or key at fault, what was expected and what was found."""


class ConfigError(DataError):
    """A config cannot be read, contradicts itself, or does not describe a model and its data."""
