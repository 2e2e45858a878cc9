"""The one place where pickles of foreign origin are read: nothing of theirs is imported, called or built.

A pickle is a program that names the classes and functions it wants called. Here a name on the allow-list stands for
what the list says; every other name stands for :class:`Inert`, whatever it is in the real world.
"""

from __future__ import annotations

import pickle
import reprlib
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, ClassVar

from ..errors import DataError

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
    struct.error,
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


def _check_keys(keys: Iterable[Any]) -> None:
    """Refuses keys within keys: of pairs of one pair of one pair …, thirty deep, the hash takes a minute."""
    for key in keys:
        parts = key if isinstance(key, (tuple, frozenset)) else ()
        if any(isinstance(part, (tuple, frozenset)) for part in parts):
            raise pickle.UnpicklingError('a key made of tuples or sets')


def _ordered_dict(items: Sequence[tuple[Any, Any]] = ()) -> OrderedDict:
    _check_keys(key for key, _ in items)
    return OrderedDict(items)


PLAIN_CONTAINERS: Mapping[tuple[str, str], Any] = {('collections', 'OrderedDict'): _ordered_dict}


# The pure-Python unpickler: the one in C reserves memory for whatever memo index a pickle names, gigabytes if told to.
class RestrictedUnpickler(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """An unpickler of plain values, the allowed names, and :class:`Inert` for all others.

    Args:
        data: the pickle.
        where: the file's name for error messages.
        allowed: (module, name) in the pickle → what it stands for here.
    """

    # The base's, of which no type checker knows.
    stack: list[Any]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, data: bytes, where: str, allowed: Mapping[tuple[str, str], Any] = PLAIN_CONTAINERS) -> None:
        super().__init__(BytesIO(data))
        self._where = where
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle stands for."""
        return self._allowed.get((module, name), Inert)

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

    # Instructions that CPython's unpickler follows too far.

    def _drop_state(self) -> None:
        """BUILD gives an object its state, which would reach into what the list allows: no state is ever taken."""
        self.stack.pop()

    def _call(self) -> None:
        """REDUCE; Python's own error about arguments that are none would spell out what is called, however long."""
        arguments = self.stack.pop()
        if not isinstance(arguments, tuple):
            raise pickle.UnpicklingError('a call without a tuple of arguments')
        self.stack[-1] = self.stack[-1](*arguments)

    def _bytearray(self) -> None:
        """BYTEARRAY8, which would reserve what it claims."""
        (size,) = struct.unpack('<Q', self.read(8))
        self.append(bytearray(self.read(size)))

    def _dict(self) -> None:
        """DICT."""
        items = self.pop_mark()
        self.append({})
        self._store(items)

    def _set_item(self) -> None:
        """SETITEM."""
        items = self.stack[-2:]
        del self.stack[-2:]
        self._store(items)

    def _set_items(self) -> None:
        """SETITEMS."""
        self._store(self.pop_mark())

    def _store(self, items: Sequence[Any]) -> None:
        """Keys and values by turns, into the dictionary on top."""
        _check_keys(items[::2])
        target = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key] = value

    def _append(self) -> None:
        """APPEND."""
        value = self.stack.pop()
        self._top(list).append(value)

    def _extend(self) -> None:
        """APPENDS."""
        values = self.pop_mark()
        self._top(list).extend(values)

    def _add(self) -> None:
        """ADDITEMS."""
        values = self.pop_mark()
        _check_keys(values)
        target = self._top(set)
        for value in values:
            target.add(value)

    def _frozen_set(self) -> None:
        """FROZENSET."""
        values = self.pop_mark()
        _check_keys(values)
        self.append(frozenset(values))

    def _top(self, kind: type) -> Any:
        """What is on top, which must be a plain container of the kind, or stand for one."""
        if not isinstance(self.stack[-1], (kind, Inert)):
            raise pickle.UnpicklingError(f'expected a {kind.__name__}, found a {type(self.stack[-1]).__name__}')
        return self.stack[-1]

    dispatch: ClassVar[dict[int, Callable]] = pickle._Unpickler.dispatch | {  # type: ignore[attr-defined]
        pickle.BUILD[0]: _drop_state,
        pickle.REDUCE[0]: _call,
        pickle.BYTEARRAY8[0]: _bytearray,
        pickle.DICT[0]: _dict,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.APPEND[0]: _append,
        pickle.APPENDS[0]: _extend,
        pickle.ADDITEMS[0]: _add,
        pickle.FROZENSET[0]: _frozen_set,
    }


def short(value: object) -> str:
    """A value of a stranger's for an error message: nested ones are exponentially longer than their file."""
    return reprlib.repr(value)
