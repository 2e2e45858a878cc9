"""Two scales of image features → image tokens."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def to_tokens(in_channels: int, dim: int) -> nn.Sequential:
    """Projects features of one scale to d channels: a 1×1 convolution and BatchNorm."""
    return nn.Sequential(nn.Conv2d(in_channels, dim, 1, bias=False), nn.BatchNorm2d(dim))


class ImageNeck(nn.Module):
    """Fuses the fine features of each image with its coarse tokens.

    Args:
        in_channels: channels C of the fine features.
        dim: channels d of the tokens.

    Source: Lin et al., Feature Pyramid Networks, CVPR 2017, section 3 (top-down pathway).
    """

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.fine = to_tokens(in_channels, dim)
        self.mix = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False),
            nn.BatchNorm2d(dim),
            nn.ReLU(inplace=True),
            nn.Conv2d(dim, dim, 1, bias=False),
            nn.BatchNorm2d(dim),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Args: features (b, C, h, w) and coarse tokens (b, d, h', w') of b images. Returns: (b, d, h, w)."""
        fine = self.fine(features)
        return self.mix((fine + F.interpolate(coarse, fine.shape[-2:], mode='bilinear', align_corners=False)).relu())
