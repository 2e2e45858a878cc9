"""Process: latents → latents."""

from __future__ import annotations

from torch import Tensor, nn

from ..layers import CrossAttention


class Process(nn.Module):
    """Self-attention among the latents, ``depth`` times.

    Args:
        dim: channels d of the latents.
        depth: number L of passes.
        shared: whether all passes share their weights.
        attention: further arguments of ``CrossAttention``.

    Source: Jaegle et al., Perceiver IO, 2021, section 3.1 (process; shared weights as in Perceiver).
    """

    def __init__(self, dim: int, depth: int, shared: bool, attention: dict) -> None:
        super().__init__()
        self.depth = depth
        self.self_attends = nn.ModuleList(CrossAttention(dim, **attention) for _ in range(1 if shared else depth))

    def forward(self, latents: Tensor) -> Tensor:
        """Args: latents (b, d, N, N). Returns: the same shape."""
        for i in range(self.depth):
            grid = latents[:, None]
            latents = self.self_attends[i % len(self.self_attends)](grid, grid, grid, latents)
        return latents
