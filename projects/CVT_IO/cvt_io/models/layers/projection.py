"""Ego points in the cameras' images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .camera_rays import Rig

#: Metres before a camera; what is nearer counts as not seen.
MIN_DEPTH = 0.1


@dataclass(frozen=True)
class Projection:
    """Where the cameras see points; what is not seen has a finite place that means nothing.

    Attributes:
        u: (b, P, n), share of the image's width, 0 to 1 inside.
        v: (b, P, n), share of its height.
        depth: (b, P, n) metres, at least :data:`MIN_DEPTH`.
        seen: bool (b, P, n).
    """

    u: Tensor
    v: Tensor
    depth: Tensor
    seen: Tensor


def project_points(points: Tensor, rig: Rig) -> Projection:
    """Projects ego points into all cameras, in at least float32, also under autocast.

    Args:
        points: (P, 3) ego metres.
        rig: calibration of the n cameras.
    """
    with torch.autocast(points.device.type, enabled=False):
        # Products and sums, no matrix product: runtimes may give that fewer bits than pixels need.
        matrix = (rig.intrinsics[..., None] * rig.cam_from_ego[..., None, :3, :]).sum(-2)  # b n 3 4
        x, y, z = points.to(matrix.dtype)[..., None].unbind(1)  # P 1
        # Three planes instead of vectors: an axis of three is slow in every runtime.
        across, down, ahead = (
            row[..., 0] * x + row[..., 1] * y + row[..., 2] * z + row[..., 3] for row in matrix[:, None].unbind(-2)
        )
        height, width = rig.image_size
        depth = ahead.clamp(min=MIN_DEPTH)
        u, v = across / (depth * width), down / (depth * height)
        seen = (ahead > MIN_DEPTH) & (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
    return Projection(u, v, depth, seen)
