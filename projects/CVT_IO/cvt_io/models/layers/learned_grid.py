"""Learned feature grids: the BEV prior and the latent array."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LearnedGrid(nn.Module):
    """A feature grid shared by all samples, initialised from N(0, 1).

    Args:
        dim: channels d.
        size: cells (height, width).
    """

    def __init__(self, dim: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.randn(dim, *size))

    def forward(self, batch_size: int) -> Tensor:
        """Returns: (b, d, height, width), expanded without a copy."""
        return self.features.expand(batch_size, -1, -1, -1)
