"""The neck of the baseline ``cvt``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from mmdet3d.registry import MODELS
from torch import Tensor, nn

from ...geometry import BEVGrid
from ..layers import BEVPosition, CrossView, LearnedGrid, Rig
from .coarse_grid import coarse_size


@MODELS.register_module()
class CVTIOCrossViewNeck(nn.Module):
    """Image features → BEV features; every BEV cell attends to every image token.

    Args:
        in_channels: channels of the feature scales, in the order in which they are attended to.
        bev_grid: the full BEV grid, ``dict(size=(h, w), metres=(h_m, w_m))``.
        downsample: full cells per coarse cell, along each side.
        dim: channels d.
        heads: attention heads.
        head_dim: channels per head.
        bottlenecks: ResNet bottlenecks after each scale.

    Source: Zhou & Krähenbühl, Cross-View Transformers, CVPR 2022, section 3.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        bev_grid: Mapping,
        downsample: int = 8,
        dim: int = 128,
        heads: int = 4,
        head_dim: int = 32,
        bottlenecks: Sequence[int] = (2, 2),
    ) -> None:
        super().__init__()
        grid = BEVGrid.from_dict(bev_grid)
        size = coarse_size(grid, downsample)
        attention = dict(heads=heads, head_dim=head_dim)
        self.prior = LearnedGrid(dim, size)
        self.positions = nn.ModuleList(BEVPosition(dim, grid, size) for _ in in_channels)
        self.cross_views = nn.ModuleList(
            CrossView(channels, dim, attention, count) for channels, count in zip(in_channels, bottlenecks, strict=True)
        )

    def forward(self, features: Sequence[Tensor], rig: Rig) -> Tensor:
        """Args: features, each (b, n, C, h, w), and the rig. Returns: (b, d, height, width) of the coarse BEV grid."""
        x = self.prior(features[0].shape[0])
        cross_views = cast(Iterable[CrossView], self.cross_views)
        for position, cross_view, feature in zip(self.positions, cross_views, features, strict=True):
            centres = cross_view.tokens.embed_centres(rig)
            x = cross_view(position(centres) + x[:, None], x, feature, rig, centres)
        return x
