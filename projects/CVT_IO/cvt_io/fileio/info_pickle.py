"""Restricted reader for mmdet3d's info pickles: plain containers, numbers, strings and numpy arrays only."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import DataError
from .restricted_pickle import PLAIN_CONTAINERS, RestrictedUnpickler, short

_CODE = re.compile(r'[<>=|]?[a-zA-Z]\d{0,9}', re.ASCII)
_KINDS = 'biufU'
_DIMENSIONS, _LONGEST = 32, 2**40  # numpy's limit, and more than any file holds


class _DType:
    """Stand-in for ``numpy.dtype``. Of its pickled state, only the byte order matters."""

    def __init__(self, code: str, *_: object) -> None:
        if not _CODE.fullmatch(code):  # numpy would have Python parse parts of other codes
            raise TypeError(f'expected numbers, found an array of {short(code)}')
        self.dtype = np.dtype(code)
        if self.dtype.kind not in _KINDS:
            raise TypeError(f'expected numbers or texts, found an array of {self.dtype}')

    def set_state(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder('>' if state[1] == '>' else '<')


class _Array:
    """Stand-in for an array, created empty and then given ``(version, shape, dtype, Fortran order, bytes)``."""

    _array = np.empty(0)

    def set_state(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        self._array = _from_bytes(data, dtype.dtype, shape, 'F' if fortran else 'C')

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._array.astype(dtype or self._array.dtype)

    def tolist(self) -> Any:
        return self._array.tolist()


def _reconstruct(*_: object) -> _Array:
    # Not the class itself, whose methods a bare name in a pickle would offer without an instance.
    return _Array()


class _NDArrayName:
    """Stand-in for ``numpy.ndarray``, to which pickled arrays refer by name."""


def _from_bytes(data: bytes, dtype: np.dtype, shape: tuple[int, ...], order: Any) -> np.ndarray:
    if len(shape) > _DIMENSIONS or not all(isinstance(n, int) and 0 <= n < _LONGEST for n in shape):
        raise ValueError(f'an array of shape {short(shape)}')
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f'an array of shape {short(shape)} with {len(data)} bytes')
    array = np.frombuffer(data, dtype).reshape(shape, order=order)
    if dtype.kind == 'U':
        array.tolist()  # raises where a character is not one
    return array


def _scalar(dtype: _DType, data: bytes) -> float:
    return _from_bytes(data, dtype.dtype, (), 'C').item()


def _plain_buffer(data: bytes, dtype: _DType, shape: tuple[int, ...], order: str) -> np.ndarray:
    """Stand-in for numpy's ``_frombuffer``, used by protocol 5."""
    return _from_bytes(bytes(data), dtype.dtype, shape, order)


def _latin1(text: str, encoding: str) -> bytes:
    """Stand-in for ``_codecs.encode``, which protocols before 3 use for bytes."""
    if encoding != 'latin1':
        raise ValueError(f'bytes encoded as {short(encoding)}')
    return text.encode('latin1')


# numpy 1 keeps these in numpy.core, numpy 2 in numpy._core.
_ALLOWED: Mapping[tuple[str, str], Any] = {
    **PLAIN_CONTAINERS,
    ('_codecs', 'encode'): _latin1,
    ('numpy', 'dtype'): _DType,
    ('numpy', 'ndarray'): _NDArrayName,
    **{
        (f'numpy.{core}.{module}', name): stand_in
        for core in ('core', '_core')
        for module, name, stand_in in (
            ('multiarray', '_reconstruct', _reconstruct),
            ('multiarray', 'scalar', _scalar),
            ('numeric', '_frombuffer', _plain_buffer),
        )
    },
}


class _InfoUnpickler(RestrictedUnpickler):
    def _give_state(self) -> None:
        """BUILD: only arrays and their types have a state."""
        state = self.stack.pop()  # type: ignore[attr-defined]
        target = self.stack[-1]  # type: ignore[attr-defined]
        if not isinstance(target, (_Array, _DType)):
            raise TypeError('a state for something that is not an array')
        target.set_state(state)

    dispatch: ClassVar[dict[int, Callable]] = {**RestrictedUnpickler.dispatch, ord('b'): _give_state}


def read_info_pickle(path: Path) -> Any:
    """Reads a pickle; ``np.asarray`` converts the arrays in the result.

    Raises:
        DataError: the file is missing or broken, or refers to anything but plain containers and numpy arrays.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or error}') from error
    return _InfoUnpickler(data, str(path), _ALLOWED).load()
