"""What every kind of input becomes: frames in the form of our own infos, each checked only when its turn comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from ..fileio.restricted_pickle import short
from ..labels.errors import DataError

_LARGEST = 2**63
_RIGID_TOLERANCE = 1e-3  # of RᵀR − 1: calibration is often written with few digits


@dataclass(frozen=True)
class Source:
    """Frames of one input.

    Attributes:
        items: one a frame, as the input has it.
        parse: item → ``dict(sample_token, scene_name, images)``, with ``images`` as ``CVTIOLoadImages`` wants them, and
            ``label``, a path, if there is one, and ``notes``, texts on what was assumed; raises a ``DataError`` on a
            broken frame.
        any_rig: whether the images may be of any size, or are nuScenes' own.
    """

    items: Sequence[Any]
    parse: Callable[[Any], dict]
    any_rig: bool = False


def choose_frames(
    source: Source, frames: Sequence[str], scene: str | None, keys: Callable[[Any], tuple[str, str]], where: str
) -> Source:
    """Only the frames whose token begins with one of ``frames``, and only those of a scene.

    Args:
        source: all frames.
        frames: starts of tokens; none for all.
        scene: name; None for all.
        keys: item → (token, scene name).
        where: the input's name for error messages.

    Raises:
        DataError: a token or the scene is not there.
    """
    items = [item for item in source.items if scene is None or keys(item)[1] == scene]
    if not items:
        found = sorted({keys(item)[1] for item in source.items})
        raise DataError(f'{where}: no frames of scene {scene}, found {", ".join(found[:3]) or "no frames"}')
    for start in frames:
        if not any(keys(item)[0].startswith(start) for item in items):
            raise DataError(f'{where}: no frame {start}' + (f' in scene {scene}' if scene is not None else ''))
    if frames:
        items = [item for item in items if keys(item)[0].startswith(tuple(frames))]
    return Source(items, source.parse, source.any_rig)


def numbers(value: Any, where: str, rows: int, columns: int) -> np.ndarray:
    """A matrix of finite numbers, float64.

    Raises:
        DataError: it is of another shape or holds something else.
    """
    lists = value.tolist() if hasattr(value, 'tolist') else value
    # Looked at one by one: numpy would first build whatever a pickle's lists within lists add up to.
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
        DataError: it is none.
    """
    matrix = numbers(value, where, 4, 4)
    rotation = matrix[:3, :3]
    off = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if off > _RIGID_TOLERANCE or np.linalg.det(rotation) < 0 or (matrix[3] != (0, 0, 0, 1)).any():
        raise DataError(
            f'{where}: expected a rotation and a translation over the row 0 0 0 1, found {short(matrix.tolist())}'
        )
    return matrix


def camera_matrix(value: Any, where: str) -> np.ndarray:
    """Intrinsics (3, 3) in pixels.

    Raises:
        DataError: there is no positive focal length, or the last row is not 0 0 1.
    """
    matrix = numbers(value, where, 3, 3)
    if min(matrix[0, 0], matrix[1, 1]) <= 0 or (matrix[2] != (0, 0, 1)).any():
        raise DataError(f'{where}: expected positive focal lengths over the row 0 0 1, found {short(matrix.tolist())}')
    return matrix


def image_path(path: Any, root: Path, where: str) -> str:
    """An image of a folder.

    Raises:
        DataError: the path is absolute or climbs out of the folder.
    """
    if not isinstance(path, str) or not path:
        raise DataError(f'{where}: expected the path of an image, found {short(path)}')
    pure = PurePosixPath(path)
    if pure.is_absolute() or PureWindowsPath(path).drive or '\\' in path or '..' in pure.parts:
        raise DataError(f'{where}: expected a path with / and without .. below {root}, found {path!r:.200}')
    return str(root / pure)
