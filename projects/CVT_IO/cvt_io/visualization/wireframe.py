"""Wireframes of annotated boxes in camera images."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..geometry import project

NEAR = 0.1  # near plane in metres; points behind the camera have no pixel

# Corners 0–3 are the front face's (left top, right top, right bottom, left bottom), 4–7 the same at the rear.
_RINGS = [(i, (i + 1) % 4) for i in range(4)]
_EDGES = np.array([*_RINGS, *((i + 4, j + 4) for i, j in _RINGS), *((i, i + 4) for i in range(4))])
_CROSS = np.array([(0, 2), (1, 3)])  # marks the front


def wires(corners: np.ndarray, intrinsics: np.ndarray, cam_from_ego: np.ndarray) -> np.ndarray:
    """Projects the twelve edges of a box and a cross on its front face, clipped at the near plane.

    Args:
        corners: (8, 3) metres in the ego frame, in the order of the nuScenes devkit's ``Box.corners``.
        intrinsics: (3, 3) of the image.
        cam_from_ego: (4, 4).

    Returns:
        Line ends (k, 2, 2) in pixels (x, y), k ≤ 14; they may lie outside the image.
    """
    in_cam = corners @ cam_from_ego[:3, :3].T + cam_from_ego[:3, 3]
    ends = in_cam[np.concatenate([_EDGES, _CROSS])]
    ends = ends[(ends[..., 2] > NEAR).any(axis=1)]
    others = ends[:, ::-1]
    behind = ends[..., 2:] < NEAR
    with np.errstate(divide='ignore', invalid='ignore'):
        onto_plane = ends + (others - ends) * (NEAR - ends[..., 2:]) / (others - ends)[..., 2:]
    return project(np.where(behind, onto_plane, ends), intrinsics, np.eye(4))[0]


def draw_wires(img: np.ndarray, ends: np.ndarray, color: Sequence[int], thickness: int = 1) -> None:
    """Draws lines with a dark border into an image.

    Args:
        img: (H, W, 3) uint8, modified in place.
        ends: (k, 2, 2) pixels (x, y).
        color: RGB.
        thickness: line width in pixels; the border adds one on either side.
    """
    fraction_bits = 4
    lines = np.round(ends * 2**fraction_bits).astype(np.int32)
    for line_color, width in (((0, 0, 0), thickness + 2), (tuple(color), thickness)):
        cv2.polylines(img, lines, False, line_color, width, cv2.LINE_AA, fraction_bits)
