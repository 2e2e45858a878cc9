"""TensorFlow's "same" padding, for the actual or a nominal input size."""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .plain import is_plain


class SamePadConv2d(nn.Conv2d):
    """Convolution whose output has ⌈input / stride⌉ cells, with odd padding at the bottom and right.

    The published EfficientNets pad *statically*: the padding is computed once, for the network's nominal input. For
    this, set ``static_size`` to the side of the nominal input at this layer. Otherwise it is computed for each input.
    ``symmetric`` pads both sides by half the kernel, as PyTorch's own models do, whatever the input.

    Args:
        padding: ignored; accepted for compatibility with mmcv's ``ConvModule``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding=0, **kwargs)
        self.static_size: int | None = None
        self.symmetric = False

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (b, C, h, w). Returns: (b, out_channels, h', w')."""
        top, bottom = self._pads(self.static_size or x.shape[-2], 0)
        left, right = self._pads(self.static_size or x.shape[-1], 1)
        odd, weight, padding = (0, right - left, 0, bottom - top), self.weight, (top, left)
        if any(odd):
            if is_plain() or self.dilation != (1, 1):
                x = F.pad(x, odd)
            else:  # a zero-padded kernel with symmetric padding is equivalent, without a copy of x
                weight, padding = F.pad(weight, (right - left, 0, bottom - top, 0)), (bottom, right)
        return F.conv2d(x, weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _pads(self, size: int, axis: int) -> tuple[int, int]:
        """Cells to add before and after an axis of ``size`` cells."""
        stride, reach = self.stride[axis], (self.kernel_size[axis] - 1) * self.dilation[axis] + 1
        total = reach - 1 if self.symmetric else max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
        return total // 2, total - total // 2
