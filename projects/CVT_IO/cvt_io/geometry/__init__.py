"""Coordinate frames: BEV grid, rigid poses and pinhole cameras. Pure numpy."""

from .bev_grid import BEVGrid
from .pinhole import is_pinhole, mirror_camera, project, resize_crop_intrinsics
from .poses import flat_pose, invert_rigid, is_rigid, pose_matrix, yaw_of

__all__ = [
    'BEVGrid',
    'flat_pose',
    'invert_rigid',
    'is_pinhole',
    'is_rigid',
    'mirror_camera',
    'pose_matrix',
    'project',
    'resize_crop_intrinsics',
    'yaw_of',
]
