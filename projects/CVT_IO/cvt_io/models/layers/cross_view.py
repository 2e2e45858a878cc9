"""Cross-attention to the images at one scale."""

from __future__ import annotations

from mmdet.models.backbones.resnet import Bottleneck
from torch import Tensor, nn

from .absorbed_attention import absorbed_attention, absorbing_pays
from .attention import CrossAttention
from .camera_rays import Rig
from .image_tokens import ImageTokens
from .plain import is_plain


class CrossView(nn.Module):
    """Cross-attention from a query grid to one scale's image tokens, then bottlenecks on the grid.

    Args:
        in_channels: channels C of the scale's features.
        dim: channels d of the grid.
        attention: further arguments of :class:`CrossAttention`.
        bottlenecks: number of ResNet bottlenecks (d → d/4 → d).
    """

    def __init__(self, in_channels: int, dim: int, attention: dict, bottlenecks: int) -> None:
        super().__init__()
        if dim % 4:
            raise ValueError(f'dim={dim}: expected a multiple of 4, for the bottlenecks')
        self.tokens = ImageTokens(in_channels, dim)
        self.cross_attend = CrossAttention(dim, **attention)
        self.bottlenecks = nn.Sequential(*(Bottleneck(dim, dim // 4, style='pytorch') for _ in range(bottlenecks)))

    def forward(self, query: Tensor, skip: Tensor, features: Tensor, rig: Rig, centres: Tensor | None = None) -> Tensor:
        """Attends to one scale.

        Args:
            query: (b, n or 1, d, H, W).
            skip: (b, d, H, W), the grid to refine.
            features: (b, n, C, h, w).
            rig: calibration of the n cameras.
            centres: ``tokens.embed_centres(rig)``, if already computed.

        Returns:
            (b, d, H, W).
        """
        (height, width), block = query.shape[-2:], self.cross_attend
        if query.shape[1] == 1 and not is_plain() and absorbing_pays(block, height * width, features.shape[2]):
            attended = absorbed_attention(block, self.tokens, query[:, 0], features, rig)
            return self.bottlenecks(block.refine(attended, (height, width), skip))
        key, value = self.tokens(features, rig, centres)
        return self.bottlenecks(block(query, key, value, skip))
