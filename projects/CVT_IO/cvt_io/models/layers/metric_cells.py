"""Positions of the cells of a grid that covers the BEV grid, and their embedding."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...geometry import BEVGrid


def cell_centres(grid: BEVGrid, size: tuple[int, int]) -> Tensor:
    """Ego metres (x, y) of the centres of ``size`` equal cells that tile the BEV grid: (2, height, width) float64.

    The centre of label cell i is at BEV pixel i, so the grid extends from pixel −½ to ``size`` − ½.
    """
    axes = [
        (torch.arange(n, dtype=torch.float64) + 0.5) * (full / n) - 0.5 for n, full in zip(size, grid.size, strict=True)
    ]
    rows, columns = torch.meshgrid(*axes, indexing='ij')
    pixels = torch.stack([columns, rows, torch.ones_like(rows)])
    return torch.einsum('ij,jhw->ihw', torch.from_numpy(grid.ego_from_pixels), pixels)[:2]


def area_means(size: int, count: int) -> Tensor:
    """Matrix (count, size) that averages ``count`` equal parts of an axis of ``size`` cells.

    A cell that overlaps two parts is weighted by the overlap.
    """
    edges = torch.arange(count + 1, dtype=torch.float64)[:, None] * size / count
    cells = torch.arange(size, dtype=torch.float64)
    overlap = torch.minimum(edges[1:], cells + 1) - torch.maximum(edges[:-1], cells)
    return (overlap.clamp(min=0) * count / size).float()


class MetricPosition(nn.Module):
    """Position embedding of grid cells: a learned part plus a projection of Fourier features of the metric centre.

    Args:
        dim: channels d.
        grid: the full BEV grid.
        size: cells (height, width) that tile it.
        bands: number of frequencies; the longest wavelength is twice the grid's longer side, each next one half of it.

    Source: Jaegle et al., Perceiver IO, 2021, appendix D (Fourier position features).
    """

    features: Tensor

    def __init__(self, dim: int, grid: BEVGrid, size: tuple[int, int], bands: int = 6) -> None:
        super().__init__()
        self.size = size
        self.learned = nn.Parameter(0.02 * torch.randn(dim, *size))
        self.embed = nn.Linear(2 + 4 * bands, dim)
        # Determined by the grid, so not part of the state dict.
        features = fourier_features(cell_centres(grid, size) / (max(grid.metres) / 2), bands)
        self.register_buffer('features', features.float(), persistent=False)

    def forward(self) -> Tensor:
        """Returns: (d, height, width)."""
        return self.learned + self.embed(self.features).permute(2, 0, 1)


def fourier_features(xy: Tensor, bands: int) -> Tensor:
    """Args: xy (2, h, w), about −1 to 1. Returns: (h, w, 2 + 4·bands): xy, and sin and cos of xy·π·2^k."""
    angles = xy[:, None] * (math.pi * 2.0 ** torch.arange(bands, dtype=xy.dtype))[:, None, None]  # 2 bands h w
    return torch.cat([xy, angles.sin().flatten(0, 1), angles.cos().flatten(0, 1)]).permute(1, 2, 0)
