"""Keys and values at one scale."""

from __future__ import annotations

from torch import Tensor, nn

from .attention import unit_channels
from .camera_rays import Rig


class ImageTokens(nn.Module):
    """Computes attention keys and values from image features and calibration.

    Keys encode the ray relative to the camera centre and the image content, values only the content.

    Args:
        in_channels: channels C of the features.
        dim: channels d of keys and values.

    Source: Zhou & Krähenbühl, Cross-View Transformers, CVPR 2022, section 3.1 (camera-aware positional encoding).
    """

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.feature_proj = _projection(in_channels, dim)
        self.feature_linear = _projection(in_channels, dim)
        self.img_embed = nn.Conv2d(4, dim, 1, bias=False)
        self.cam_embed = nn.Conv2d(4, dim, 1, bias=False)

    def embed_centres(self, rig: Rig) -> Tensor:
        """Embedded camera centres, (b, n, d, 1, 1)."""
        return per_image(self.cam_embed, rig.camera_centres())

    def forward(self, features: Tensor, rig: Rig, centres: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Keys and values of all cameras.

        Args:
            features: (b, n, C, h, w).
            rig: calibration of the n cameras.
            centres: :meth:`embed_centres` of the rig, if already computed.

        Returns:
            Keys and values, each (b, n, d, h, w).
        """
        rays = per_image(self.img_embed, rig.pixel_rays(features.shape[-2:]))
        embedding = unit_channels(rays - (self.embed_centres(rig) if centres is None else centres))
        return embedding + per_image(self.feature_proj, features), per_image(self.feature_linear, features)


def _projection(in_channels: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU(), nn.Conv2d(in_channels, dim, 1, bias=False))


def per_image(module: nn.Module, x: Tensor) -> Tensor:
    """Applies an image module to (b, n, C, h, w)."""
    return module(x.flatten(0, 1)).unflatten(0, x.shape[:2])
