"""Decode: latents → BEV features."""

from __future__ import annotations

from torch import Tensor, nn

from ...geometry import BEVGrid
from ..layers import BEVPosition, CrossAttention, LearnedGrid, Rig, per_image


class Decode(nn.Module):
    """BEV queries attend to the latents once, without a skip connection.

    Args:
        dim: channels d.
        grid: the full BEV grid.
        size: cells (height, width) of the coarse BEV grid.
        attention: further arguments of ``CrossAttention``.

    Source: Jaegle et al., Perceiver IO, 2021, section 3.2 (decode with an output query array).
    """

    def __init__(self, dim: int, grid: BEVGrid, size: tuple[int, int], attention: dict) -> None:
        super().__init__()
        self.prior = LearnedGrid(dim, size)
        self.position = BEVPosition(dim, grid, size)
        self.cam_embed = nn.Conv2d(4, dim, 1, bias=False)
        self.cross_attend = CrossAttention(dim, **attention)

    def forward(self, latents: Tensor, rig: Rig) -> Tensor:
        """Decodes BEV features.

        Args:
            latents: (b, n or 1, d, N, N), one grid per camera or one for all.
            rig: calibration of the n cameras.

        Returns:
            (b, d, height, width).
        """
        centres = per_image(self.cam_embed, rig.camera_centres())
        query = self.prior(latents.shape[0])[:, None] + self.position(centres)
        return self.cross_attend(query, latents, latents)
