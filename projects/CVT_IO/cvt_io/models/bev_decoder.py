"""Coarse BEV features → full BEV features."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmdet3d.registry import MODELS
from torch import Tensor, nn


class DecoderBlock(nn.Module):
    """Doubles the resolution and adds the decoder's input, resized.

    Args:
        in_channels: channels of the block's input.
        out_channels: channels of its output.
        skip_channels: channels of the decoder's input.
    """

    def __init__(self, in_channels: int, out_channels: int, skip_channels: int) -> None:
        super().__init__()
        hidden = out_channels // 2
        self.conv = nn.Sequential(
            nn.Upsample(scale_factor=2, mode='bilinear', align_corners=True),
            nn.Conv2d(in_channels, hidden, 3, padding=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.up = nn.Conv2d(skip_channels, out_channels, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Args: x (b, C, h, w); skip, the decoder's input. Returns: (b, out_channels, 2·h, 2·w)."""
        x = self.conv(x)
        return F.relu(x + F.interpolate(self.up(skip), x.shape[-2:]))  # nearest


@MODELS.register_module()
class CVTIOBEVDecoder(nn.Module):
    """A chain of :class:`DecoderBlock`. Each block has a skip connection from the input of the chain.

    Args:
        in_channels: channels of the coarse BEV features.
        channels: output channels of the blocks; each block doubles the resolution.

    Source: Zhou & Krähenbühl, Cross-View Transformers, CVPR 2022, section 3.3 and public code.
    """

    def __init__(self, in_channels: int = 128, channels: Sequence[int] = (128, 128, 64)) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DecoderBlock(before, after, in_channels)
            for before, after in zip([in_channels, *channels], channels, strict=False)
        )

    def forward(self, bev: Tensor) -> Tensor:
        """Args: bev (b, in_channels, h, w). Returns: (b, channels[-1], h·2^k, w·2^k) with k blocks."""
        x = bev
        for layer in self.layers:
            x = layer(x, bev)
        return x
