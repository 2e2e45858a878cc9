"""Optional packages for export and runtimes."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import DataError


class DeployError(DataError):
    """A graph cannot be exported, read or run."""


def require(name: str) -> ModuleType:
    """Imports an optional package.

    Raises:
        DeployError: the package is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(name)  # noqa: TID251 - names from this module
    except ImportError as error:
        raise DeployError(f'{name} is not installed: pip install -r requirements/deploy.txt') from error
