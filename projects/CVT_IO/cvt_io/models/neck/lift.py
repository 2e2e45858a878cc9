"""Lift: image tokens → BEV features, sampled at projected points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...geometry import BEVGrid
from ..layers.anchored_sum import ValueMap, anchored_sum
from ..layers.camera_rays import Rig
from ..layers.metric_cells import cell_centres
from ..layers.projection import project_points

_MEAN_DEPTH, _LOG_SPREAD = math.log(15.0), 0.7  # wide at the start: one sigma is from 2 to 110 m
_MAX_LOG_SPREAD = 3.0


class Lift(nn.Module):
    """Projects points at several heights above each BEV cell into the cameras and samples the tokens there.

    The cost is linear in cells times heights. Each height has its own slice of the projected tokens, and the heights
    are summed. Samples are weighted by how well the depth of the point matches the depth that the token predicts.

    Args:
        dim: channels d of the tokens.
        channels: channels of the output.
        grid: the full BEV grid.
        size: cells (height, width) of the output.
        heights: heights of the points above the ground in metres.
        cameras: maximum number of cameras per point; the first ones that see it are used.
        gate: whether to weight samples by depth.

    Source: Harley et al., Simple-BEV, ICRA 2023, section 3 (bilinear sampling of projected points); Philion & Fidler,
    Lift, Splat, Shoot, ECCV 2020, section 3.1 (a depth for each token).
    """

    points: Tensor

    def __init__(
        self,
        dim: int,
        channels: int,
        grid: BEVGrid,
        size: tuple[int, int],
        heights: Sequence[float] = (0.0, 0.75, 1.5, 3.0),
        cameras: int = 2,
        gate: bool = True,
    ) -> None:
        super().__init__()
        self.size, self.cameras = size, cameras
        # Determined by the grid, so not part of the state dict.
        self.register_buffer('points', _points(grid, size, heights), persistent=False)
        self.to_value = nn.Linear(dim, len(heights) * channels)
        self.to_depth = nn.Linear(dim, len(heights) * 2) if gate else None
        if self.to_depth is not None:
            nn.init.zeros_(self.to_depth.weight)
            with torch.no_grad():
                self.to_depth.bias.copy_(torch.tensor([_MEAN_DEPTH, _LOG_SPREAD]).repeat(len(heights)))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, tokens: Tensor, rig: Rig) -> Tensor:
        """Args: tokens (b, n, d, h, w) and the rig. Returns: (b, channels, height, width)."""
        lifted = anchored_sum(self.values(tokens), project_points(self.points, rig), self.cameras)
        return self.norm(lifted.transpose(1, 2).unflatten(2, self.size)).relu()

    def values(self, tokens: Tensor) -> ValueMap:
        """Token maps to sample from, for tokens (b, n, d, h, w)."""
        tokens = tokens.movedim(2, -1)
        heights = len(self.points) // (self.size[0] * self.size[1])
        value = self.to_value(tokens).unflatten(-1, (heights, -1))
        if self.to_depth is None:
            return ValueMap(value, None)
        depth = self.to_depth(tokens).to(torch.promote_types(tokens.dtype, torch.float32))
        mean, log_spread = depth.unflatten(-1, (heights, 2)).unbind(-1)
        return ValueMap(value, torch.stack([mean, log_spread.clamp(-_MAX_LOG_SPREAD, _MAX_LOG_SPREAD)], -1))


def _points(grid: BEVGrid, size: tuple[int, int], heights: Sequence[float]) -> Tensor:
    """Ego metres, cell by cell: (height·width·Z, 3)."""
    xy = cell_centres(grid, size).flatten(1).T[:, None].expand(-1, len(heights), -1)
    z = torch.tensor(heights, dtype=xy.dtype)[:, None].expand(len(xy), -1, -1)
    return torch.cat([xy, z], -1).flatten(0, 1).float()
