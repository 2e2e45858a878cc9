"""Whether a pickle is one that PyTorch's reader of weights comes to an end with."""

from __future__ import annotations

from typing import Any

from ..errors import DataError
from .restricted_pickle import Inert, RestrictedUnpickler

_LONGEST_NAME = 200


def check_pickles(data: bytes, where: str, count: int = 1) -> None:
    """Goes through so many pickles, one after the other, as an unpickler does, and builds nothing.

    ``torch.load(weights_only=True)`` calls nothing foreign either, but hashes and prints what it is given, and searches
    names for patterns: pairs of one pair of one pair …, in a file of some hundred bytes, keep it busy for ever.

    Raises:
        DataError: a pickle is broken, nests keys in keys, calls what is no function, or has names that are none.
    """
    unpickler = _DryRun(data, where)
    for _ in range(count):
        unpickler.load()


class _DryRun(RestrictedUnpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Plain containers, and :class:`Inert` for all others."""
        if len(module) + len(name) > _LONGEST_NAME:
            raise DataError(f'{self._where}: expected names of functions, found {module:.60}.{name:.60}')
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Inert:
        """A storage."""
        return Inert()
