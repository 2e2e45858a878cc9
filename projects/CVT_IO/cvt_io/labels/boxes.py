"""Label planes of the annotated boxes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from nuscenes.utils.data_classes import Box
from pyquaternion import Quaternion

from ..geometry import BEVGrid
from .classes import CLASSES, FIRST_BOX_CLASS, class_of, is_vehicle
from .raster import pixels_from_world, to_cells, to_pixels
from .tables import Annotation


def draw_boxes(
    annotations: Sequence[Annotation], world_from_ego: np.ndarray, grid: BEVGrid
) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float, int]]]:
    """Draws the bottom faces of the boxes.

    Args:
        annotations: boxes in the world, in drawing order.
        world_from_ego: flat ego pose (4, 4).
        grid: the grid to draw on.

    Returns:
        Class bits (h, w) uint16 (bit i = class i, of 4–11); vehicle instances (h, w) uint16, later ones over earlier
        ones, 0 = none, k = entry k − 1 of the vehicle table; the vehicle table of (centre column, centre row,
        visibility token), without vehicles that have no cell.
    """
    planes = np.zeros((len(CLASSES) - FIRST_BOX_CLASS, *grid.size), np.uint8)
    instances = np.zeros(grid.size, np.uint16)
    vehicles = []
    matrix = pixels_from_world(grid, world_from_ego)
    for annotation in annotations:
        index, vehicle = class_of(annotation.category), is_vehicle(annotation.category)
        if index is None and not vehicle:
            continue
        corners = bottom_corners(annotation)
        pixels = to_pixels(np.vstack([corners, corners.mean(axis=0)]), matrix)
        cells = to_cells(pixels[:4])
        if index is not None:
            cv2.fillPoly(planes[index - FIRST_BOX_CLASS], [cells], (1,))
        if vehicle:
            column, row = pixels[4].tolist()
            vehicles.append((column, row, annotation.visibility))
            cv2.fillPoly(instances, [cells], (len(vehicles),))
    shifts = np.arange(FIRST_BOX_CLASS, len(CLASSES), dtype=np.uint16)[:, None, None]
    return np.bitwise_or.reduce(planes.astype(np.uint16) << shifts), *_visible(instances, vehicles)


def bottom_corners(annotation: Annotation) -> np.ndarray:
    """World corners (4, 3) of the box's bottom face, with the whole 3-D rotation."""
    return Box(annotation.translation, annotation.size, Quaternion(annotation.rotation)).bottom_corners().T


def _visible(
    instances: np.ndarray, vehicles: list[tuple[float, float, int]]
) -> tuple[np.ndarray, list[tuple[float, float, int]]]:
    """Drops the vehicles that have no cell and numbers the others anew."""
    numbers = np.flatnonzero(np.bincount(instances.ravel())[1:]) + 1
    renumbered = np.zeros(len(vehicles) + 1, np.uint16)
    renumbered[numbers] = np.arange(1, len(numbers) + 1)
    return renumbered[instances], [vehicles[number - 1] for number in numbers]
