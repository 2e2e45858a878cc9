"""The one place where pickles of foreign origin are read: nothing of theirs is imported, called or built.

A pickle is a program that names the classes and functions it wants called. Here a name on the allow-list stands for
what the list says; every other name stands for :class:`Inert`, whatever it is in the real world.
"""

from __future__ import annotations

import pickle
import reprlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, ClassVar

from ..labels.errors import DataError

PLAIN_CONTAINERS: Mapping[tuple[str, str], Any] = {('collections', 'OrderedDict'): OrderedDict}

# What a broken or hostile pickle may raise while it runs; the pure-Python unpickler documents no list.
_PICKLE_ERRORS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Inert:
    """Stands for an object of any class: takes every argument and item, and keeps none of them."""

    def __new__(cls, *args: object, **kwargs: object) -> Inert:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __call__(self, *args: object, **kwargs: object) -> Inert:
        return self

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        """A list's."""

    def extend(self, values: object) -> None:
        """A list's."""

    def add(self, value: object) -> None:
        """A set's."""


# The pure-Python unpickler: the one in C reserves memory for whatever memo index a pickle names, gigabytes if told to.
class RestrictedUnpickler(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """An unpickler of plain values, the allowed names, and :class:`Inert` for all others.

    Args:
        data: the pickle.
        where: the file's name for error messages.
        allowed: (module, name) in the pickle → what it stands for here.
    """

    def __init__(self, data: bytes, where: str, allowed: Mapping[tuple[str, str], Any] = PLAIN_CONTAINERS) -> None:
        super().__init__(BytesIO(data))
        self._where = where
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle stands for."""
        return self._allowed.get((module, name), Inert)

    def _drop_state(self) -> None:
        """BUILD gives an object its state, which would reach into what the list allows: no state is ever taken."""
        self.stack.pop()  # type: ignore[attr-defined]

    dispatch: ClassVar[dict[int, Callable]] = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: _drop_state}  # type: ignore[attr-defined]

    def get_extension(self, code: int) -> None:
        """Refuses numbers of the interpreter's extension registry, which would go past :meth:`find_class`."""
        raise pickle.UnpicklingError(f'extension code {code}')

    def load(self) -> Any:
        """The pickle's value.

        Raises:
            DataError: it is broken, or does what its kind of file has no need to.
        """
        try:
            return super().load()
        except DataError:
            raise
        except _PICKLE_ERRORS as error:
            raise DataError(f'{self._where}: unreadable pickle: {type(error).__name__}: {error}') from error


def short(value: object) -> str:
    """A value of a stranger's for an error message: nested ones are exponentially longer than their file."""
    return reprlib.repr(value)
