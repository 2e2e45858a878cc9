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


def _rebuild_tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    """A view of a storage, like torch's own of that name, but never larger than what the file holds."""
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


def read_torch_zip(path: str | Path) -> Any:
    """What ``torch.save`` wrote: plain values and tensors; objects of any class come as ``Inert``.

    Raises:
        DataError: the file is missing, truncated, compressed, of PyTorch's format before 1.6, or otherwise broken.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f'{path}: cannot read file: {error.strerror or error}') from error
    try:
        # From memory, which gives what there is; of a file, the module zipfile reserves what the headers claim.
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _Unpickler(archive, len(data), str(path)).load()
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, ArithmeticError, EOFError, RuntimeError, ValueError) as error:
        raise DataError(f'{path}: expected a zip file of torch.save (PyTorch 1.6 or later), found: {error}') from error


class _Unpickler(RestrictedUnpickler):
    """Reads ``data.pkl`` of an archive of so many bytes, and the storages that it asks for."""

    def __init__(self, archive: zipfile.ZipFile, size: int, where: str) -> None:
        pickles = [name for name in archive.namelist() if name.count('/') == 1 and name.endswith('/data.pkl')]
        if len(pickles) != 1:
            raise DataError(f'{where}: expected a zip file of torch.save with one data.pkl, found {len(pickles)}')
        self._archive = archive
        self._where = where
        self._folder = pickles[0].removesuffix('data.pkl')
        # Storages may overlap in a forged file; together they must not exceed it.
        self._budget = size
        self._storages: dict[str, Tensor] = {}
        if f'{self._folder}byteorder' in archive.namelist() and self._read('byteorder') != b'little':
            raise DataError(f'{where}: expected little-endian numbers')
        super().__init__(self._read('data.pkl'), where, _ALLOWED)

    def persistent_load(self, pid: Any) -> Tensor:
        """The storage of ``('storage', type, key, location, count)``, as a flat tensor."""
        kind, dtype, key, _, count = pid
        if kind != 'storage' or not isinstance(dtype, torch.dtype):
            raise ValueError(f'unknown persistent id {short(kind)}')
        if not isinstance(key, str) or not isinstance(count, int):
            raise TypeError('a storage without a name and a length')
        if key not in self._storages:
            data = bytearray(self._read(f'data/{key}'))
            if len(data) != count * dtype.itemsize:
                raise ValueError(f'storage {key} has {len(data)} bytes, expected {count} × {dtype.itemsize}')
            self._storages[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        if self._storages[key].dtype != dtype:
            raise ValueError(f'storage {key} is used with two types')
        return self._storages[key]

    def _read(self, name: str) -> bytes:
        entry = self._archive.getinfo(self._folder + name)
        self._budget -= entry.file_size
        if entry.compress_type != zipfile.ZIP_STORED or self._budget < 0:
            raise DataError(f'{self._where}: expected entries that are stored as they are, found a packed {name}')
        return self._archive.read(entry)
