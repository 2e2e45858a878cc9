"""Ego points in the cameras' images."""

from __future__ import annotations

import torch
from torch import Tensor

from .camera_rays import Rig

#: Metres before a camera; what is nearer counts as not seen.
MIN_DEPTH = 0.1


def project_points(points: Tensor, rig: Rig) -> tuple[Tensor, Tensor, Tensor]:
    """Projects ego points into all cameras.

    Args:
        points: (P, 3) ego metres.
        rig: calibration of the n cameras.

    Returns:
        Positions (b, P, n, 2) as shares (x, y) of the image's width and height, 0 to 1 inside; depths (b, P, n) in
        metres, at least :data:`MIN_DEPTH`; and whether a camera sees a point, bool (b, P, n). At least float32, also
        under autocast. A position that is not seen means nothing, but is finite.
    """
    with torch.autocast(points.device.type, enabled=False):
        matrix = rig.intrinsics @ rig.cam_from_ego[..., :3, :]  # b n 3 4
        # Products and sums: a runtime may give a matrix product fewer bits than pixels need.
        x, y, z = points.to(matrix.dtype)[:, None, :, None].unbind(-2)  # P 1 1
        columns = matrix[:, None].unbind(-1)  # b 1 n 3
        homogeneous = columns[0] * x + columns[1] * y + columns[2] * z + columns[3]  # b P n 3
        depth = homogeneous[..., 2].clamp(min=MIN_DEPTH)
        height, width = rig.image_size
        at = homogeneous[..., :2] / depth[..., None] / homogeneous.new_tensor([width, height])
        seen = (homogeneous[..., 2] > MIN_DEPTH) & (at >= 0).all(-1) & (at <= 1).all(-1)
    return at, depth, seen
