"""The exception for data that is missing, unreadable or not as expected."""

from __future__ import annotations


class DataError(ValueError):
    """Names in one line the file, table or key at fault, what was expected and what was found."""
