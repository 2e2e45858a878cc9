"""Two scales of image features → image tokens."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ImageNeck(nn.Module):
    """Joins a fine and a coarse feature map of each image.

    Args:
        in_channels: channels of the fine and of the coarse features.
        dim: channels d of both outputs.

    Source: Lin et al., Feature Pyramid Networks, CVPR 2017, section 3 (top-down pathway).
    """

    def __init__(self, in_channels: tuple[int, int], dim: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(in_channels[0], dim, 1, bias=False), nn.BatchNorm2d(dim))
        self.coarse = nn.Sequential(nn.Conv2d(in_channels[1], dim, 1, bias=False), nn.BatchNorm2d(dim))
        self.mix = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False),
            nn.BatchNorm2d(dim),
            nn.ReLU(inplace=True),
            nn.Conv2d(dim, dim, 1, bias=False),
            nn.BatchNorm2d(dim),
            nn.ReLU(inplace=True),
        )

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Joins the scales.

        Args:
            fine: (b, n, C, h, w).
            coarse: (b, n, C', h', w').

        Returns:
            Both scales joined, (b, n, d, h, w), and the coarse one alone, (b, n, d, h', w').
        """
        images = fine.shape[:2]
        low = self.coarse(coarse.flatten(0, 1))
        high = self.fine(fine.flatten(0, 1))
        up = F.interpolate(low, high.shape[-2:], mode='bilinear', align_corners=False)
        return self.mix((high + up).relu()).unflatten(0, images), low.unflatten(0, images)
