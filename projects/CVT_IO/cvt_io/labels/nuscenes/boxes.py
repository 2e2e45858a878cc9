"""Drawing of annotated boxes on label planes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ...geometry import BEVGrid
from ..classes import CLASSES, FIRST_BOX_CLASS, class_of, is_vehicle
from ..frame import Annotation
from .raster import pixels_from_world, to_cells

# pyquaternion's tolerance for a squared norm of 1.
_UNIT_TOLERANCE = 1e-14


def draw_boxes(
    annotations: Sequence[Annotation], world_from_ego: np.ndarray, grid: BEVGrid
) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float, int]]]:
    """Draws the bottom faces of the boxes.

    Args:
        annotations: boxes in the world, in drawing order.
        world_from_ego: flat ego pose (4, 4).
        grid: the grid to draw on.

    Returns:
        Class bits (h, w) uint16 (bit i = class i, 4–11); vehicle instances (h, w) uint16, 0 = none, k = entry k − 1 of
        the vehicle table, later ones covering earlier ones; the vehicle table of (centre column, centre row, visibility
        token), without vehicles that cover no cell.
    """
    known = [a for a in annotations if class_of(a.category) is not None or is_vehicle(a.category)]
    planes = np.zeros((len(CLASSES) - FIRST_BOX_CLASS, *grid.size), np.uint8)
    instances = np.zeros(grid.size, np.uint16)
    vehicles = []
    pixels = _pixels(known, pixels_from_world(grid, world_from_ego))
    for annotation, cells, center in zip(known, to_cells(pixels[:, :4]), pixels[:, 4].tolist(), strict=True):
        index = class_of(annotation.category)
        if index is not None:
            index -= FIRST_BOX_CLASS
            cv2.fillPoly(planes[index], [cells], (1 << index,))
        if is_vehicle(annotation.category):
            vehicles.append((*center, annotation.visibility))
            cv2.fillPoly(instances, [cells], (len(vehicles),))
    bits = np.bitwise_or.reduce(planes).astype(np.uint16) << FIRST_BOX_CLASS
    return bits, *_visible(instances, vehicles)


def bottom_corners(annotations: Sequence[Annotation]) -> np.ndarray:
    """World corners (n, 3, 4), as columns, of the boxes' bottom faces after the full 3-D rotation."""
    rotations = _rotations(np.array([a.rotation for a in annotations]).reshape(-1, 4))
    width, length, height = np.array([a.size for a in annotations]).reshape(-1, 3).T[:, :, None] / 2
    offsets = np.stack([length * [1, 1, -1, -1], width * [-1, 1, 1, -1], height * [-1, -1, -1, -1]], axis=1)
    return rotations @ offsets + np.array([a.translation for a in annotations]).reshape(-1, 3, 1)


def _rotations(quaternions: np.ndarray) -> np.ndarray:
    """Rotation matrices (n, 3, 3) of quaternions (n, 4), with the same operations as pyquaternion, bit for bit."""
    squares = quaternions[:, None] @ quaternions[:, :, None]
    as_is = (np.abs(1 - squares) < _UNIT_TOLERANCE) | (squares == 0)
    w, x, y, z = (quaternions / np.where(as_is, 1, np.sqrt(squares))[:, 0]).T
    left = np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]]).transpose(2, 0, 1)
    right = np.array([[w, -x, -y, -z], [x, w, z, -y], [y, -z, w, x], [z, y, -x, w]]).transpose(2, 0, 1)
    return (left.copy() @ right.copy().transpose(0, 2, 1))[:, 1:, 1:]


def _pixels(annotations: Sequence[Annotation], pixels_from_world: np.ndarray) -> np.ndarray:
    """BEV pixels (n, 5, 2) of the boxes' bottom corners and centres."""
    points = np.ones((len(annotations), 4, 5))
    points[:, :3, :4] = bottom_corners(annotations)
    points[:, :3, 4] = points[:, :3, :4].mean(axis=2)
    return (pixels_from_world @ points)[:, :2].transpose(0, 2, 1)


def _visible(
    instances: np.ndarray, vehicles: list[tuple[float, float, int]]
) -> tuple[np.ndarray, list[tuple[float, float, int]]]:
    """Drops vehicles that cover no cell and renumbers the others."""
    numbers = np.flatnonzero(np.bincount(instances.ravel())[1:]) + 1
    renumbered = np.zeros(len(vehicles) + 1, np.uint16)
    renumbered[numbers] = np.arange(1, len(numbers) + 1)
    return renumbered[instances], [vehicles[number - 1] for number in numbers]
