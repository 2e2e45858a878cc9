"""The one error of data that is missing, unreadable or not what was expected."""

from __future__ import annotations


class DataError(ValueError):
    """Says in one line which file, table or key is wrong, what was expected and what was found."""
