"""Encode: images → latent array."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..layers import CrossView, Rig


class Encode(nn.Module):
    """The latent grid attends to the images, scale by scale.

    Args:
        in_channels: channels of the feature scales, in the order in which they are attended to.
        dim: channels d of the latents.
        attention: further arguments of ``CrossAttention``.
        bottlenecks: ResNet bottlenecks after each scale.

    Source: Jaegle et al., Perceiver IO, 2021, section 3.1 (encode).
    """

    def __init__(self, in_channels: Sequence[int], dim: int, attention: dict, bottlenecks: Sequence[int]) -> None:
        super().__init__()
        self.cross_views = nn.ModuleList(
            CrossView(channels, dim, attention, count) for channels, count in zip(in_channels, bottlenecks, strict=True)
        )

    def forward(self, latents: Tensor, features: Sequence[Tensor], rig: Rig) -> Tensor:
        """Args: latents (b, d, N, N); features, each (b, n, C, h, w); rig. Returns: latents (b, d, N, N)."""
        for cross_view, feature in zip(self.cross_views, features, strict=True):
            latents = cross_view(latents[:, None], latents, feature, rig)
        return latents
