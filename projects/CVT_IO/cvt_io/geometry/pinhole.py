"""Pinhole cameras: projection, and intrinsics that follow an image's resize and crop."""

from __future__ import annotations

import numpy as np


def project(points: np.ndarray, intrinsics: np.ndarray, cam_from_ego: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Projects ego points into an image.

    Args:
        points: (…, 3) metres in the ego frame.
        intrinsics: (3, 3).
        cam_from_ego: (4, 4).

    Returns:
        Pixels (…, 2) as (x, y), and depths (…,) in metres; pixels of points with depth ≤ 0 mean nothing.
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
    """Intrinsics (…, 3, 3) of the image after a resize and then a crop.

    Args:
        intrinsics: (…, 3, 3) of the image before.
        scale: factors (x, y) of the resize.
        top_left: pixel (x, y) of the resized image that becomes the crop's origin.
    """
    result = np.array(intrinsics, dtype=np.float64)
    result[..., 0, :] *= scale[0]
    result[..., 1, :] *= scale[1]
    result[..., 0, 2] -= top_left[0]
    result[..., 1, 2] -= top_left[1]
    return result
