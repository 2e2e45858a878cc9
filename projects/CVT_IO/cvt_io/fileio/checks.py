"""Checks of values from untrusted files; errors name file and key, what was expected and what was found."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeGuard

import numpy as np

from ..errors import DataError
from ..geometry import is_pinhole, is_rigid
from .restricted_pickle import short

_LARGEST = 2**63
_LONGEST_NAME = 200  # file systems allow 255 bytes, and endings are added


def numbers(value: Any, where: str, rows: int, columns: int) -> np.ndarray:
    """A matrix of finite numbers, float64.

    Raises:
        DataError: it has another shape or other content.
    """
    lists = value.tolist() if hasattr(value, 'tolist') else value
    # One by one: NumPy would first expand nested lists, however large they become.
    if isinstance(lists, list) and len(lists) == rows and all(_is_row(row, columns) for row in lists):
        matrix = np.array(lists, dtype=np.float64)
        if np.isfinite(matrix).all():
            return matrix
    raise DataError(f'{where}: expected {rows}×{columns} finite numbers, found {short(lists)}')


def _is_row(row: Any, columns: int) -> bool:
    return isinstance(row, (list, tuple)) and len(row) == columns and all(map(_is_number, row))


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < _LARGEST)


def pose(value: Any, where: str) -> np.ndarray:
    """A rigid transform (4, 4).

    Raises:
        DataError: it is not one.
    """
    matrix = numbers(value, where, 4, 4)
    if not is_rigid(matrix):
        raise DataError(
            f'{where}: expected a rotation and a translation over the row 0 0 0 1, found {short(matrix.tolist())}'
        )
    return matrix


def camera_matrix(value: Any, where: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Intrinsics (3, 3) in pixels, for an image of ``size`` (width, height) if given.

    Raises:
        DataError: a focal length is not positive, the last row is not 0 0 1, or they do not fit the image.
    """
    matrix = numbers(value, where, 3, 3)
    if not is_pinhole(matrix):
        raise DataError(
            f'{where}: expected positive focal lengths and no more skew than these over the row 0 0 1, '
            f'found {short(matrix.tolist())}'
        )
    if size is not None and not is_pinhole(matrix, np.array(size)):
        raise DataError(
            f'{where}: expected focal lengths and a principal point that fit an image of {size[0]}×{size[1]} pixels, '
            f'found {short(matrix.tolist())}'
        )
    return matrix


def is_name(value: Any) -> TypeGuard[str]:
    """Whether a value is a plain file name: one line of text that does not lead to another folder."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > _LONGEST_NAME:
        return False
    return value not in ('', '.', '..') and '/' not in value and '\\' not in value


def image_path(path: Any, root: Path, where: str) -> str:
    """Path of an image below a folder.

    Raises:
        DataError: the path is absolute or leads out of the folder.
    """
    if not isinstance(path, str) or not path or '\0' in path:
        raise DataError(f'{where}: expected the path of an image, found {short(path)}')
    pure = PurePosixPath(path)
    if pure.is_absolute() or PureWindowsPath(path).drive or '\\' in path or '..' in pure.parts:
        raise DataError(f'{where}: expected a path with / and without .. below {root}, found {path!r:.200}')
    return str(root / pure)


def image_size(image: dict, where: str) -> tuple[int, int]:
    """Width and height of an image in an info.

    Raises:
        DataError: they are not positive numbers of pixels.
    """
    for key in ('width', 'height'):
        value = image.get(key)
        if type(value) is not int or not 0 < value < _LARGEST:
            raise DataError(f'{where}: {key}: expected a positive number of pixels, found {short(value)}')
    return image['width'], image['height']
