"""The neck of ``cvt_io_*``: encode → process → decode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmdet3d.registry import MODELS
from mmengine.utils import to_2tuple
from torch import Tensor, nn

from ...geometry import BEVGrid
from ..layers import LearnedGrid, Rig
from .coarse_grid import coarse_size
from .decode import Decode
from .encode import Encode
from .process import Process


@MODELS.register_module()
class CVTIOLatentNeck(nn.Module):
    """Image features → BEV features through a small latent array.

    Args:
        in_channels: channels of the feature scales.
        bev_grid: the full BEV grid, ``dict(size=(h, w), metres=(h_m, w_m))``.
        downsample: full cells per coarse cell, along each side.
        dim: channels d.
        latent_size: side N of the latent grid, or (rows, columns).
        depth: number L of self-attention passes.
        shared: whether all passes share their weights.
        latents_per_camera: whether each camera has its own latent grid that sees only this camera (``v1``), instead of
            one grid for all (``v2``).
        heads: attention heads.
        head_dim: channels per head.
        bottlenecks: ResNet bottlenecks after each scale.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        bev_grid: Mapping,
        downsample: int = 8,
        dim: int = 128,
        latent_size: int | tuple[int, int] = 5,
        depth: int = 6,
        shared: bool = True,
        latents_per_camera: bool = False,
        heads: int = 4,
        head_dim: int = 32,
        bottlenecks: Sequence[int] = (2, 2),
    ) -> None:
        super().__init__()
        grid = BEVGrid.from_dict(bev_grid)
        attention = dict(heads=heads, head_dim=head_dim)
        self.latents_per_camera = latents_per_camera
        self.latent_array = LearnedGrid(dim, to_2tuple(latent_size))  # without metric coordinates
        self.encode = Encode(in_channels, dim, attention, bottlenecks)
        self.process = Process(dim, depth, shared, attention)
        self.decode = Decode(dim, grid, coarse_size(grid, downsample), attention)

    def forward(self, features: Sequence[Tensor], rig: Rig) -> Tensor:
        """Args: features, each (b, n, C, h, w), and the rig. Returns: (b, d, height, width) of the coarse BEV grid."""
        batch, cameras = features[0].shape[:2]
        readers, items = rig, batch
        if self.latents_per_camera:
            features = [feature.flatten(0, 1)[:, None] for feature in features]
            readers, items = rig.per_camera(), batch * cameras
        latents = self.process(self.encode(self.latent_array(items), features, readers))
        return self.decode(latents.unflatten(0, (batch, items // batch if batch else 1)), rig)
