"""Rigid poses from nuScenes records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyquaternion import Quaternion

_RIGID_TOLERANCE = 1e-3  # on |RᵀR − 1|; calibration files are often rounded to a few digits
_FARTHEST = 1e8


def pose_matrix(rotation: Sequence[float], translation: Sequence[float]) -> np.ndarray:
    """Pose of a nuScenes record as a float64 matrix (4, 4) that maps its frame to the parent frame.

    Args:
        rotation: quaternion (w, x, y, z); need not be normalised.
        translation: (3,) in metres.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = Quaternion(rotation).rotation_matrix
    matrix[:3, 3] = translation
    return matrix


def yaw_of(rotation: Sequence[float]) -> float:
    """Yaw in radians, as pyquaternion defines it: atan2(2(wz − xy), 1 − 2(y² + z²)).

    It differs from the usual ZYX yaw (2(wz + xy)) if there is roll or pitch. The labels of the Cross-View Transformer
    are defined with this one.
    """
    return Quaternion(rotation).yaw_pitch_roll[0]


def flat_pose(rotation: Sequence[float], translation: Sequence[float]) -> np.ndarray:
    """Like :func:`pose_matrix`, but with only the yaw of the rotation (:func:`yaw_of`)."""
    return pose_matrix(Quaternion(axis=(0, 0, 1), radians=yaw_of(rotation)).elements, translation)


def invert_rigid(matrix: np.ndarray) -> np.ndarray:
    """Inverse (…, 4, 4) of rigid transforms (…, 4, 4)."""
    inverse = np.zeros_like(matrix)
    rotation = np.swapaxes(matrix[..., :3, :3], -1, -2)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -(rotation @ matrix[..., :3, 3:])[..., 0]
    inverse[..., 3, 3] = 1
    return inverse


def is_rigid(matrices: np.ndarray) -> np.ndarray:
    """Whether each matrix (…, 4, 4) is a rigid transform; bool (…).

    Translations above 1e8 metres, larger than any map coordinate, are rejected.
    """
    finite = np.isfinite(matrices).all(axis=(-1, -2)) & (np.abs(matrices) <= _FARTHEST).all(axis=(-1, -2))
    rotation = np.where(finite[..., None, None], matrices, 0)[..., :3, :3]
    off = np.abs(np.swapaxes(rotation, -1, -2) @ rotation - np.eye(3)).max(axis=(-1, -2))
    last_row = (matrices[..., 3, :] == (0, 0, 0, 1)).all(axis=-1)
    return finite & last_row & (off <= _RIGID_TOLERANCE) & (np.linalg.det(rotation) > 0)
