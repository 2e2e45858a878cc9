"""Positions of the cells of the coarse BEV grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...geometry import BEVGrid
from .attention import unit_channels


class BEVPosition(nn.Module):
    """Embeds the position of each BEV cell relative to each camera: unit(W·xy + b − embedded camera centre).

    Args:
        dim: channels d.
        grid: the full BEV grid.
        size: cells (height, width) of the coarse grid, which spans the full grid corner to corner.
    """

    ego_xy: Tensor

    def __init__(self, dim: int, grid: BEVGrid, size: tuple[int, int]) -> None:
        super().__init__()
        self.bev_embed = nn.Conv2d(2, dim, 1)
        # Determined by the grid, so not part of the state dict.
        self.register_buffer('ego_xy', coarse_ego_xy(grid, size), persistent=False)

    def forward(self, centres: Tensor) -> Tensor:
        """Args: embedded camera centres (b, n, d, 1, 1). Returns: (b, n, d, height, width)."""
        return unit_channels(self.bev_embed(self.ego_xy[None])[:, None] - centres)


def coarse_ego_xy(grid: BEVGrid, size: tuple[int, int]) -> Tensor:
    """Ego metres (x, y) of the cells of a coarse grid that spans the full grid: (2, height, width) fp32."""
    (height, width), float64 = grid.size, torch.float64
    rows, columns = torch.meshgrid(
        torch.linspace(0, 1, size[0], dtype=float64) * height,
        torch.linspace(0, 1, size[1], dtype=float64) * width,
        indexing='ij',
    )
    pixels = torch.stack([columns, rows, torch.ones_like(rows)])
    ego = torch.einsum('ij,jhw->ihw', torch.from_numpy(grid.ego_from_pixels), pixels)
    return ego[:2].float()
