"""Conversion of world coordinates to cells of a BEV grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...geometry import BEVGrid, invert_rigid

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
    """Rounds pixels to cells, half to even, as int32 for OpenCV."""
    return pixels.round().astype(np.int32)


def cells_of(paths: Sequence[np.ndarray], pixels_from_world: np.ndarray) -> list[np.ndarray]:
    """Cells (n, 2) of each of several paths (n, 2) of world points, computed at once."""
    if not paths:
        return []
    cells = to_cells(to_pixels(np.concatenate(paths), pixels_from_world))
    return np.split(cells, np.cumsum([len(path) for path in paths[:-1]]))


def covered_area(grid: BEVGrid, world_from_ego: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (2,) in world metres of a rectangle that holds all that may be drawn on a grid's cells."""
    h, w = grid.size
    # Half a cell more than what is rounded to a cell of the grid.
    corners = np.array([[-1, w, w, -1], [-1, -1, h, h], [1, 1, 1, 1]])
    ego = (grid.ego_from_pixels @ corners)[:2]
    world = world_from_ego[:2, :2] @ ego + world_from_ego[:2, 3:]
    return world.min(axis=1), world.max(axis=1)
