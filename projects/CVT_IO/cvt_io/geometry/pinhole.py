"""Pinhole cameras: projection, and calibration after a resize, a crop or a flip."""

from __future__ import annotations

import numpy as np

# Focal length / image size: fields of view from 168° down to half a degree. nuScenes has 0.5 to 0.8 of the width.
_SHORTEST, _LONGEST = 0.05, 100.0


def project(points: np.ndarray, intrinsics: np.ndarray, cam_from_ego: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Projects ego points into an image.

    Args:
        points: (…, 3) metres in the ego frame.
        intrinsics: (3, 3).
        cam_from_ego: (4, 4).

    Returns:
        Pixels (…, 2) as (x, y), and depths (…,) in metres. Pixels are meaningless where the depth is ≤ 0.
    """
    in_cam = points @ cam_from_ego[:3, :3].T + cam_from_ego[:3, 3]
    homogeneous = in_cam @ intrinsics.T
    depth = homogeneous[..., 2]
    with np.errstate(divide='ignore', invalid='ignore'):
        pixels = homogeneous[..., :2] / depth[..., None]
    return pixels, in_cam[..., 2]


def resize_crop_intrinsics(
    intrinsics: np.ndarray, scale: tuple[float, float], top_left: tuple[float, float]
) -> np.ndarray:
    """Intrinsics (…, 3, 3) after a resize followed by a crop.

    Args:
        intrinsics: (…, 3, 3) of the original image.
        scale: resize factors (x, y).
        top_left: origin (x, y) of the crop in the resized image.
    """
    result = np.array(intrinsics, dtype=np.float64)
    result[..., 0, :] *= scale[0]
    result[..., 1, :] *= scale[1]
    result[..., 0, 2] -= top_left[0]
    result[..., 1, 2] -= top_left[1]
    return result


def mirror_camera(intrinsics: np.ndarray, cam_from_ego: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Camera of the horizontally flipped image, in the world mirrored across the ego's xz plane (y → −y).

    Mirroring the camera's x axis too keeps the pose a proper rotation and the focal lengths positive. What was at pixel
    (x, y) is at (width − x, y), as column i of an image spans x from i to i + 1.

    Args:
        intrinsics: (3, 3).
        cam_from_ego: (4, 4).
        width: width of the image in pixels.

    Returns:
        Intrinsics and ``cam_from_ego`` of the same shapes, float64.
    """
    mirrored_pixels = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]])
    return (
        mirrored_pixels @ intrinsics @ np.diag([-1.0, 1, 1]),
        np.diag([-1.0, 1, 1, 1]) @ cam_from_ego @ np.diag([1.0, -1, 1, 1]),
    )


def is_pinhole(intrinsics: np.ndarray, size: np.ndarray | None = None) -> np.ndarray:
    """Whether each matrix is plausible as the intrinsics of a camera.

    It must be finite and upper triangular with last row (0, 0, 1), with positive focal lengths and a smaller skew. If
    the image size is given, the principal point must lie within half an image of the borders, and the focal lengths
    between 0.05 and 100 image sizes. This rejects intrinsics in other units or of a much larger image.

    Args:
        intrinsics: (…, 3, 3).
        size: (…, 2), width and height in pixels, or None if unknown.

    Returns:
        bool (…).
    """
    matrices = np.where(np.isfinite(intrinsics), intrinsics, 0)
    focal = np.stack([matrices[..., 0, 0], matrices[..., 1, 1]], axis=-1)
    good = np.isfinite(intrinsics).all(axis=(-1, -2)) & (focal > 0).all(axis=-1)
    good &= (matrices[..., 2, :] == (0, 0, 1)).all(axis=-1) & (matrices[..., 1, 0] == 0)
    good &= np.abs(matrices[..., 0, 1]) < focal.max(axis=-1)
    if size is not None:
        off_center = np.abs(matrices[..., :2, 2] / size - 0.5)
        good &= ((focal >= _SHORTEST * size) & (focal <= _LONGEST * size) & (off_center <= 1)).all(axis=-1)
    return good
