"""Fine BEV features → logits of the full grid, without convolutions at full resolution."""

from __future__ import annotations

from typing import Any

from mmdet3d.registry import MODELS
from torch import Tensor, nn

from .head import CVTIOHead


@MODELS.register_module()
class CVTIOFuse(nn.Sequential):
    """Fuses the fine BEV features of the neck: 3×3 convolution, BatchNorm, ReLU.

    Args:
        in_channels: channels of the neck's output.
        channels: channels of the output.
    """

    def __init__(self, in_channels: int, channels: int = 128) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )


@MODELS.register_module()
class CVTIOSubPixelHead(CVTIOHead):
    """Like :class:`CVTIOHead`, on a grid that is ``upscale`` times coarser; logits of full cells are in the channels.

    Args:
        in_channels: channels of the BEV features.
        upscale: full cells per cell of the features, along each side.
        kwargs: see :class:`CVTIOHead`.

    Source: Shi et al., Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
    Neural Network, CVPR 2016, section 3.1.
    """

    def __init__(self, in_channels: int, *args: Any, upscale: int = 2, **kwargs: Any) -> None:
        super().__init__(in_channels, *args, **kwargs)
        outputs = len(self.groups) + (self.center_group is not None)
        self.to_logits = nn.Sequential(nn.Conv2d(in_channels, outputs * upscale**2, 1), nn.PixelShuffle(upscale))

    def forward(self, bev: Tensor) -> Tensor:
        """Args: bev (b, in_channels, h, w). Returns: logits (b, outputs, upscale·h, upscale·w)."""
        return self.to_logits(bev)
