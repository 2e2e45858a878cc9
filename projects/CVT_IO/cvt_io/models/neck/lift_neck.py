"""The neck of ``cvt_io_v3``: a lift and a latent array with metric positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet3d.registry import MODELS
from mmengine.utils import to_2tuple
from torch import Tensor, nn

from ...geometry import BEVGrid
from ..layers.camera_rays import Rig
from ..layers.metric_cells import MetricPosition
from .coarse_grid import coarse_size
from .image_neck import ImageNeck, to_tokens
from .lift import Lift
from .metric_latents import MetricDecode, MetricEncode, MetricLatentArray, MetricProcess

_FINE, _MID = 2, 4  # full BEV cells per cell


@MODELS.register_module()
class CVTIOLiftNeck(nn.Module):
    """Image features → BEV features, by sampling at projected points and through a latent array.

    The lift fills a fine grid (half the resolution); a mid grid (a quarter) attends to the latents, is refined, and is
    concatenated with the lift. Either of the two can be omitted.

    Args:
        in_channels: channels of the fine and of the coarse image features.
        bev_grid: the full BEV grid, ``dict(size=(h, w), metres=(h_m, w_m))``.
        dim: channels d, a multiple of 4.
        lift: arguments of :class:`Lift` (``channels``, ``heights``, ``cameras``, ``gate``); ``None`` for no lift.
        latents: ``size`` (side N of the latent grid, or (rows, columns)), ``depth`` (number of passes L), ``shared``
            (whether all passes share their weights) and ``heads``; ``None`` for no latents.
    """

    def __init__(
        self,
        in_channels: tuple[int, int],
        bev_grid: Mapping,
        dim: int = 128,
        lift: Mapping[str, Any] | None = None,
        latents: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if lift is None and latents is None:
            raise ValueError('neck: expected lift or latents, found neither')
        grid = BEVGrid.from_dict(bev_grid)
        fine, mid = coarse_size(grid, _FINE), coarse_size(grid, _MID)
        self.coarse = to_tokens(in_channels[1], dim)
        self.has_lift = lift is not None
        lifted = 0
        if lift is not None:
            lifted = lift['channels']
            self.image_neck = ImageNeck(in_channels[0], dim)
            self.lift = Lift(dim, grid=grid, size=fine, **lift)
            self.down = _norm_conv(lifted, dim, stride=2)
        self.position = MetricPosition(dim, grid, mid)
        self.has_latents = latents is not None
        if latents is not None:
            size, heads = to_2tuple(latents['size']), latents['heads']
            self.latent_array = MetricLatentArray(dim, grid, size, lifted, fine)
            self.encode = MetricEncode(dim, heads)
            self.process = MetricProcess(dim, latents['depth'], latents['shared'], heads)
            self.decode = MetricDecode(dim, heads)
        self.trunk = nn.Sequential(_norm_conv(dim, dim), nn.ReLU(inplace=True), _norm_conv(dim, dim))

    def forward(self, features: Sequence[Tensor], rig: Rig) -> Tensor:
        """Computes features on the fine BEV grid.

        Args:
            features: two scales, fine and coarse, each (b, n, C, h, w).
            rig: calibration of the n cameras.

        Returns:
            (b, d/4 + lift channels, height, width) of the fine BEV grid.
        """
        batch, cameras = features[1].shape[:2]
        # Split into cameras only after it is upsampled: ONNX Runtime loses its blocked layout at a reshape.
        coarse, lifted = self.coarse(features[1].flatten(0, 1)), None
        bev = self.position().expand(batch, -1, -1, -1)
        if self.has_lift:
            tokens = self.image_neck(features[0].flatten(0, 1), coarse)
            lifted = self.lift(tokens.unflatten(0, (batch, cameras)), rig)
            bev = bev + self.down(lifted)
        if self.has_latents:
            latents = self.encode(self.latent_array(batch, lifted), coarse.unflatten(0, (batch, cameras)), rig)
            bev = self.decode(bev, self.process(latents))
        bev = F.pixel_shuffle((bev + self.trunk(bev)).relu(), _MID // _FINE)
        return bev if lifted is None else torch.cat([bev, lifted], 1)


def _norm_conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out_channels)
    )
