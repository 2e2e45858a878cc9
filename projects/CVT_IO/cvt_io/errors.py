"""Exceptions for data and configs that are missing, unreadable or not as expected."""

from __future__ import annotations

import errno

#: Of the machine rather than of one file: a failing disk or network, open files or memory used up.
_MACHINE = (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV)


class DataError(ValueError):
    """Names in one line the file, table or key at fault, what was expected and what was found."""


class ConfigError(DataError):
    """A config cannot be read, contradicts itself, or does not describe a model and its data."""


def raise_if_of_machine(error: Exception) -> None:
    """Raises an ``OSError`` that is the machine's fault, as other files would meet it too."""
    if isinstance(error, OSError) and error.errno in _MACHINE:
        raise error
