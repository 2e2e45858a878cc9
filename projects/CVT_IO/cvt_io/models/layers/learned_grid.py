"""A learned grid of features: the BEV prior, the latent array."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LearnedGrid(nn.Module):
    """Features that are the same for every sample, N(0, 1) at the start.

    Args:
        dim: channels d.
        size: cells (height, width).
    """

    def __init__(self, dim: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.randn(dim, *size))

    def forward(self, batch_size: int) -> Tensor:
        """Returns: (b, d, height, width), one view for the whole batch."""
        return self.features.expand(batch_size, -1, -1, -1)
