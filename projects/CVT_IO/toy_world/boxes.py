"""Draws textured boxes exactly: coverage, texture and inverse depth of each face come from one inverse homography.

A face with corner o and edges a, b maps (u, v, 1) to pixels by M = K [a b o]; the inverse of M maps a pixel to
(u, v, 1) / depth. Whether a pixel is covered, where in the texture it lies and its inverse depth are thus linear forms
of the pixel, valid for faces that cross the image plane too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from .textures import FACES
from .weather import Weather

# Faces of the box [-1/2, 1/2] × [-1/2, 1/2] × [0, 1] (forward, left, up): upper left corner, direction of u, of v.
_CORNERS = np.array([[0.5, -0.5, 1], [-0.5, 0.5, 1], [0.5, 0.5, 1], [-0.5, -0.5, 1], [0.5, 0.5, 1]])
_ACROSS = np.array([[0.0, 1, 0], [0, -1, 0], [-1, 0, 0], [1, 0, 0], [0, -1, 0]])
_DOWN = np.array([[0.0, 0, -1], [0, 0, -1], [0, 0, -1], [0, 0, -1], [-1, 0, 0]])
_NORMALS = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]])
_NEAR = 0.05  # metres


@dataclass(eq=False)
class Solid:
    """A box on the ground.

    Attributes:
        pose: (x, y, heading) of its centre in the world.
        size: (width, length, height) in metres.
        textures: of its faces, see :func:`.textures.paint`.
    """

    pose: np.ndarray
    size: tuple[float, float, float]
    textures: dict[str, np.ndarray]
    _pyramids: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def frame(self) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3) and translation (3,) into the world from the box, whose origin is on the ground."""
        x, y, heading = self.pose
        cos, sin = np.cos(heading), np.sin(heading)
        return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]), np.array([x, y, 0.0])

    def texture(self, face: str, shrink: float) -> np.ndarray:
        """The face's texture at about 1 / ``shrink`` of its size, so that it does not alias."""
        pyramid = self._pyramids.setdefault(face, [self.textures[face]])
        level = int(np.clip(np.log2(max(shrink, 1.0)), 0, 5))
        while len(pyramid) <= level:
            height, width = pyramid[-1].shape[:2]
            half = (max(width // 2, 1), max(height // 2, 1))
            pyramid.append(cv2.resize(pyramid[-1], half, interpolation=cv2.INTER_AREA))
        return pyramid[level]


def in_view(
    solids: Sequence[Solid], intrinsics: np.ndarray, cam_from_world: np.ndarray, image_size: tuple[int, int]
) -> np.ndarray:
    """Which solids (S,) may be visible in an image of ``image_size`` (height, width), by their bounding spheres."""
    if not solids:
        return np.zeros(0, dtype=bool)
    centres = np.array([(solid.pose[0], solid.pose[1], solid.size[2] / 2) for solid in solids])
    radii = np.array([np.linalg.norm(solid.size) / 2 for solid in solids])
    centres = centres @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    height, width = image_size
    # Planes through the camera that bound the image, normals inwards: x >= 0, x <= width, y >= 0, y <= height.
    planes = np.array([intrinsics[0], -intrinsics[0], intrinsics[1], -intrinsics[1]])
    planes[1, 2] += width
    planes[3, 2] += height
    planes = np.vstack([planes / np.linalg.norm(planes, axis=1, keepdims=True), [0.0, 0.0, 1.0]])
    return (centres @ planes.T > -radii[:, None]).all(axis=1)


class Buffers:
    """Frame buffers of a camera.

    Attributes:
        image: (H, W, 3) uint8.
        instance: (H, W) int32, 0 for the background.
        depth_inverse: (H, W) float32, 1 / metres, 0 for the background.
    """

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.instance = np.zeros(image.shape[:2], dtype=np.int32)
        self.depth_inverse = np.zeros(image.shape[:2], dtype=np.float32)


def draw(
    buffers: Buffers, solid: Solid, label: int, intrinsics: np.ndarray, cam_from_world: np.ndarray, weather: Weather
) -> int:
    """Draws a box with a depth test.

    Args:
        buffers: updated.
        solid: what to draw.
        label: its value in the instance buffer.
        intrinsics: (3, 3).
        cam_from_world: (4, 4).
        weather: lights it.

    Returns:
        Number of pixels that it covers, including occluded ones.
    """
    rotation, translation = solid.frame()
    cam_from_box = cam_from_world[:3, :3] @ rotation
    origin = cam_from_world[:3, :3] @ translation + cam_from_world[:3, 3]
    width, length, height = solid.size
    extent = np.array([length, width, height])
    corners = (_CORNERS * extent) @ cam_from_box.T + origin
    across, down = (_ACROSS * extent) @ cam_from_box.T, (_DOWN * extent) @ cam_from_box.T
    faces_camera = ((_NORMALS @ cam_from_box.T) * corners).sum(axis=1) < 0
    covered = 0
    for k in np.flatnonzero(faces_camera):
        light = weather.light(rotation @ _NORMALS[k])
        covered += _draw_face(buffers, solid, FACES[k], label, intrinsics, (corners[k], across[k], down[k]), light)
    return covered


def _draw_face(
    buffers: Buffers,
    solid: Solid,
    face: str,
    label: int,
    intrinsics: np.ndarray,
    quad: tuple[np.ndarray, np.ndarray, np.ndarray],
    light: float,
) -> int:
    """Draws a face and returns the number of pixels it covers, including occluded ones."""
    corner, across, down = quad
    window = _window(np.array([corner, corner + across, corner + across + down, corner + down]), intrinsics, buffers)
    if window is None:
        return 0
    rows, columns = window
    # np.linalg.inv would spend a hundred times as long waking up its threads.
    to_face = cv2.invert(intrinsics @ np.column_stack([across, down, corner]))[1]
    x = np.arange(columns.start, columns.stop)
    y = np.arange(rows.start, rows.stop)[:, None]
    u, v, depth_inverse = ((form[0] * x + (form[1] * y + form[2])).astype(np.float32) for form in to_face)
    inside = (u >= 0) & (v >= 0) & (u < depth_inverse) & (v < depth_inverse)
    covered = int(np.count_nonzero(inside))
    inside &= depth_inverse > buffers.depth_inverse[rows, columns]
    if not inside.any():
        return covered
    np.copyto(buffers.depth_inverse[rows, columns], depth_inverse, where=inside)
    np.copyto(buffers.instance[rows, columns], np.int32(label), where=inside)
    texture = solid.texture(face, np.sqrt(solid.textures[face][..., 0].size / max(covered, 1)))
    height, width = texture.shape[:2]
    to_texture: np.ndarray = np.diag([width, height, 1.0]) @ to_face
    to_texture[:2] -= 0.5 * to_texture[2]
    to_texture[:, 2] += to_texture[:, 0] * columns.start + to_texture[:, 1] * rows.start
    patch = cv2.warpPerspective(
        cv2.convertScaleAbs(texture, alpha=light),
        to_texture,
        (len(x), len(y)),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    buffers.image[rows, columns] = cv2.copyTo(patch, inside.view(np.uint8), buffers.image[rows, columns].copy())
    return covered


def _window(corners: np.ndarray, intrinsics: np.ndarray, buffers: Buffers) -> tuple[slice, slice] | None:
    """Rows and columns that the face with ``corners`` (4, 3) in the camera frame may cover, None if there are none."""
    if corners[:, 2].min() < _NEAR:
        corners = _in_front(corners)
        if not len(corners):
            return None
    homogeneous = corners @ intrinsics.T
    pixels = homogeneous[:, :2] / homogeneous[:, 2:]
    height, width = buffers.instance.shape
    low = np.ceil(np.clip(pixels.min(axis=0), 0, (width, height))).astype(int)
    high = np.floor(np.clip(pixels.max(axis=0), -1, (width - 1, height - 1))).astype(int) + 1
    if (high <= low).any():
        return None
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _in_front(corners: np.ndarray) -> np.ndarray:
    """Corners (N, 3) of the part of a polygon (4, 3) that lies in front of the near plane."""
    points = []
    for start, stop in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if start[2] >= _NEAR:
            points.append(start)
        if (start[2] >= _NEAR) != (stop[2] >= _NEAR):
            points.append(start + (stop - start) * (_NEAR - start[2]) / (stop[2] - start[2]))
    return np.array(points)
