"""The only place where untrusted pickles are read: they cannot import, call or build anything.

A pickle is a program that names the classes and functions to call. Here a name on an allow-list stands for what the
list says. Any other name is an error or stands for :class:`Inert`, whatever it is elsewhere.
"""

from __future__ import annotations

import pickle  # noqa: TID251 - the one guarded unpickler
import reprlib
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, ClassVar

from ..errors import DataError

# What a broken or hostile pickle may raise; the pure-Python unpickler documents no list.
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
    """Stands for an object of any class: accepts all arguments and items, and keeps none."""

    def __new__(cls, *args: object, **kwargs: object) -> Inert:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __call__(self, *args: object, **kwargs: object) -> Inert:
        return self

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        """Of a list."""

    def extend(self, values: object) -> None:
        """Of a list."""

    def add(self, value: object) -> None:
        """Of a set."""


def _check_keys(keys: Iterable[Any]) -> None:
    """Refuses keys within keys: hashing pairs of pairs of pairs …, thirty deep, takes a minute."""
    for key in keys:
        parts = key if isinstance(key, (tuple, frozenset)) else ()
        if any(isinstance(part, (tuple, frozenset)) for part in parts):
            raise pickle.UnpicklingError('a key made of tuples or sets')


def _ordered_dict(items: Sequence[tuple[Any, Any]] = ()) -> OrderedDict:
    _check_keys(key for key, _ in items)
    return OrderedDict(items)


PLAIN_CONTAINERS: Mapping[tuple[str, str], Any] = {('collections', 'OrderedDict'): _ordered_dict}


# The pure-Python unpickler: the one in C reserves memory for any memo index that a pickle names, up to gigabytes.
class RestrictedUnpickler(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """An unpickler of plain values and allowed names.

    Args:
        data: the pickle.
        where: name of the file for error messages.
        allowed: (module, name) in the pickle → what it stands for here.
        strict: whether any other name is an error; otherwise it stands for :class:`Inert`.
    """

    # Attributes of the base class, unknown to type checkers.
    stack: list[Any]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(
        self, data: bytes, where: str, allowed: Mapping[tuple[str, str], Any] = PLAIN_CONTAINERS, strict: bool = True
    ) -> None:
        super().__init__(BytesIO(data))
        self._where = where
        self._allowed = allowed
        self._strict = strict

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle stands for."""
        if self._strict and (module, name) not in self._allowed:
            raise DataError(
                f'{self._where}: expected plain values and arrays, found a Python object '
                f'({module[:60]}.{name[:60]}), which is not loaded'
            )
        return self._allowed.get((module, name), Inert)

    def get_extension(self, code: int) -> None:
        """Refuses codes of the extension registry, which would bypass :meth:`find_class`."""
        raise pickle.UnpicklingError(f'extension code {code}')

    def load(self) -> Any:
        """Value of the pickle.

        Raises:
            DataError: it is broken, holds Python objects or uses instructions that such a file does not need.
        """
        try:
            return super().load()
        except DataError:
            raise
        except _PICKLE_ERRORS as error:
            raise DataError(f'{self._where}: unreadable pickle: {type(error).__name__}: {error}') from error

    # Stricter versions of instructions.

    def _drop_state(self) -> None:
        """BUILD: state is ignored, as it could change what the list allows."""
        self.stack.pop()

    def _call(self) -> None:
        """REDUCE. Python's own error would print what is called, however long."""
        arguments = self.stack.pop()
        if not isinstance(arguments, tuple):
            raise pickle.UnpicklingError('a call without a tuple of arguments')
        self.stack[-1] = self.stack[-1](*arguments)

    def _bytearray(self) -> None:
        """BYTEARRAY8, without reserving the claimed size."""
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
        """Stores alternating keys and values in the dictionary on top of the stack."""
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
        """The top of the stack, which must be a container of the kind or an :class:`Inert`."""
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


class _ShortRepr(reprlib.Repr):
    def repr_instance(self, x: Any, level: int) -> str:
        """Of other objects, tensors among them, only the type: their own representation may take long."""
        return super().repr_instance(x, level) if type(x).__module__ == 'builtins' else type(x).__name__


def short(value: object) -> str:
    """An untrusted value for an error message: printed in full, a nested one could be exponentially long."""
    return _ShortRepr().repr(value)
