"""Files of ``torch.save``, read without building anything but tensors and plain containers."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from .restricted_pickle import PLAIN_CONTAINERS, RestrictedUnpickler, short

_DTYPES = {
    'BFloat16Storage': torch.bfloat16,
    'BoolStorage': torch.bool,
    'ByteStorage': torch.uint8,
    'CharStorage': torch.int8,
    'DoubleStorage': torch.float64,
    'FloatStorage': torch.float32,
    'HalfStorage': torch.float16,
    'IntStorage': torch.int32,
    'LongStorage': torch.int64,
    'ShortStorage': torch.int16,
}
_ZIP_MAGIC = b'PK\3\4'
# Before PyTorch 1.6, a file began with a magic number and a version, as pickles of protocol 2.
_LEGACY_MAGIC = b'\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.'
_DAMAGED = 'truncated, damaged or not a file of torch.save'


def _rebuild_tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    """A view of a storage, as torch's function of that name, but never larger than what the file holds."""
    if not isinstance(storage, Tensor) or not all(isinstance(n, int) for n in (offset, *size, *stride)):
        raise TypeError('a tensor is not made of a storage and numbers')
    if math.prod(size) > storage.numel():
        raise ValueError(f'a tensor of shape {short(size)} is larger than its storage')
    return torch.as_strided(storage, size, stride, offset)


def _rebuild_parameter(data: Tensor, *_: object) -> Tensor:
    return data


_ALLOWED: Mapping[tuple[str, str], Any] = {
    **PLAIN_CONTAINERS,
    ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
    ('torch._utils', '_rebuild_parameter'): _rebuild_parameter,
    **{('torch', name): dtype for name, dtype in _DTYPES.items()},
}


def read_torch_file(path: str | Path, strict: bool = True) -> Any:
    """Content of a file of ``torch.save``, in the current format or the one before PyTorch 1.6.

    Args:
        path: the file.
        strict: whether Python objects are an error; otherwise, each becomes an :class:`.Inert`.

    Raises:
        DataError: the file is missing, truncated, compressed, damaged or not such a file.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f'{path}: {error.strerror or error}') from error
    try:
        if data.startswith(_LEGACY_MAGIC):
            return _LegacyUnpickler(data, str(path), strict).load_file()
        if not data.startswith(_ZIP_MAGIC):
            raise DataError(f'{path}: {_DAMAGED}')
        # From memory: opened by name, the module zipfile would reserve the sizes that the headers claim.
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _ZipUnpickler(archive, len(data), str(path), strict).load()
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, ArithmeticError, EOFError, RuntimeError, ValueError) as error:
        raise DataError(f'{path}: {_DAMAGED} ({error})') from error


class _TensorUnpickler(RestrictedUnpickler):
    """Builds tensors on storages, which together must not be larger than the file."""

    def __init__(self, data: bytes, where: str, size: int, strict: bool) -> None:
        super().__init__(data, where, _ALLOWED, strict)
        self._budget = size
        self._storages: dict[str, Tensor] = {}

    def persistent_load(self, pid: Any) -> Tensor:
        """The storage of ``('storage', type, key, location, count)``, as a flat tensor."""
        kind, dtype, key, _, count, *view = pid
        if kind != 'storage' or not isinstance(dtype, torch.dtype) or view not in ([], [None]):
            raise ValueError(f'unknown persistent id {short(kind)}')
        if not isinstance(key, str) or not isinstance(count, int) or count < 0:
            raise TypeError('a storage without a name and a length')
        if key not in self._storages:
            self._budget -= count * dtype.itemsize
            if self._budget < 0:
                raise ValueError(f'storages larger than the file, the last of them {short(key)}')
            self._storages[key] = self._storage(key, dtype, count)
        if self._storages[key].dtype != dtype:
            raise ValueError(f'storage {key} is used with two types')
        return self._storages[key]

    def _storage(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        raise NotImplementedError


class _ZipUnpickler(_TensorUnpickler):
    """Reads ``data.pkl`` of an archive, and the storages that it refers to."""

    def __init__(self, archive: zipfile.ZipFile, size: int, where: str, strict: bool) -> None:
        pickles = [name for name in archive.namelist() if name.count('/') == 1 and name.endswith('/data.pkl')]
        if len(pickles) != 1:
            raise DataError(f'{where}: expected an archive with one data.pkl, found {len(pickles)}')
        self._archive = archive
        self._where = where
        self._size = size
        self._folder = pickles[0].removesuffix('data.pkl')
        if f'{self._folder}byteorder' in archive.namelist() and self._read('byteorder') != b'little':
            raise DataError(f'{where}: expected little-endian numbers')
        super().__init__(self._read('data.pkl'), where, size, strict)

    def _storage(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        return _from_bytes(self._read(f'data/{key}'), dtype, count, key)

    def _read(self, name: str) -> bytes:
        entry = self._archive.getinfo(self._folder + name)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > self._size:
            raise DataError(f'{self._where}: expected entries that are stored as they are, found a packed {name}')
        return self._archive.read(entry)


class _LegacyUnpickler(_TensorUnpickler):
    """Reads, after magic number and version: machine, content, names of the storages, and their bytes."""

    def __init__(self, data: bytes, where: str, strict: bool) -> None:
        super().__init__(data[len(_LEGACY_MAGIC) :], where, len(data), strict)

    def load_file(self) -> Any:
        """Content of the file.

        Raises:
            DataError, ValueError, struct.error: it is not such a file, or is truncated.
        """
        machine, content, keys = self.load(), self.load(), self.load()
        if not isinstance(machine, dict) or machine.get('little_endian') is not True:
            raise DataError(f'{self._where}: expected little-endian numbers')
        names = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
        if not names or sorted(keys) != sorted(self._storages):
            raise ValueError('storages differ from those that the tensors refer to')
        for key in keys:
            storage = self._storages[key]
            (count,) = struct.unpack('<q', self.read(8))
            if count != storage.numel():
                raise ValueError(f'storage {key} has {count} numbers, expected {storage.numel()}')
            storage.copy_(_from_bytes(self.read(count * storage.itemsize), storage.dtype, count, key))
        return content

    def _storage(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        return torch.empty(count, dtype=dtype)


def _from_bytes(data: bytes, dtype: torch.dtype, count: int, key: str) -> Tensor:
    if len(data) != count * dtype.itemsize:
        raise ValueError(f'storage {key} has {len(data)} bytes, expected {count} × {dtype.itemsize}')
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
