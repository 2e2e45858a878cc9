"""Projection of ego points into the cameras."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .camera_rays import Rig

#: Near plane in metres; closer points count as not seen.
MIN_DEPTH = 0.1


@dataclass(frozen=True)
class Projection:
    """Projected points. Positions of points that are not seen are finite but meaningless.

    Attributes:
        u: (b, P, n), horizontal position, as a fraction of the width; in [0, 1] inside the image.
        v: (b, P, n), vertical position, as a fraction of the height.
        depth: (b, P, n) metres, at least :data:`MIN_DEPTH`.
        seen: bool (b, P, n).
    """

    u: Tensor
    v: Tensor
    depth: Tensor
    seen: Tensor


def project_points(points: Tensor, rig: Rig) -> Projection:
    """Projects ego points into all cameras in at least float32, even under autocast.

    Args:
        points: (P, 3) ego metres.
        rig: calibration of the n cameras.
    """
    with torch.autocast(points.device.type, enabled=False):
        # Elementwise products and sums: runtimes may compute matrix products with less precision than pixels need.
        matrix = (rig.intrinsics[..., None] * rig.cam_from_ego[..., None, :3, :]).sum(-2)  # b n 3 4
        x, y, z = points.to(matrix.dtype)[..., None].unbind(1)  # P 1
        # Three planes instead of vectors: an axis of length three is slow in every runtime.
        across, down, ahead = (
            row[..., 0] * x + row[..., 1] * y + row[..., 2] * z + row[..., 3] for row in matrix[:, None].unbind(-2)
        )
        height, width = rig.image_size
        depth = ahead.clamp(min=MIN_DEPTH)
        u, v = across / (depth * width), down / (depth * height)
        seen = (ahead > MIN_DEPTH) & (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
    return Projection(u, v, depth, seen)
