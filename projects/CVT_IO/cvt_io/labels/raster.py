"""From world metres to the cells of a BEV grid."""

from __future__ import annotations

import numpy as np

from ..geometry import BEVGrid, invert_rigid

# Drops z of homogeneous 3-D points.
_PLANE_FROM_SPACE = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def pixels_from_world(grid: BEVGrid, world_from_ego: np.ndarray) -> np.ndarray:
    """Matrix (3, 4): homogeneous world metres (x, y, z, 1) → BEV pixels (column, row, 1)."""
    return grid.pixels_from_ego @ _PLANE_FROM_SPACE @ invert_rigid(world_from_ego)


def to_pixels(points: np.ndarray, pixels_from_world: np.ndarray) -> np.ndarray:
    """BEV pixels (n, 2) as (column, row), float64, of world points (n, 3), or (n, 2) with z = 0."""
    homogeneous = np.zeros((4, len(points)))
    homogeneous[: points.shape[1]] = points.T
    homogeneous[3] = 1
    return (pixels_from_world @ homogeneous)[:2].T


def to_cells(pixels: np.ndarray) -> np.ndarray:
    """Pixels rounded to whole cells, half to even, as OpenCV takes them: int32."""
    return pixels.round().astype(np.int32)
