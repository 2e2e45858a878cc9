"""Embedding of the rays of image tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .camera_rays import Rig


class RayEmbedding(nn.Module):
    """Embeds the ray of each token: direction, camera centre and moment (centre × direction, Plücker).

    Args:
        dim: channels d.

    Source: Bartoccioni et al., LaRa, CoRL 2022, section 3.2 (ray embeddings); Sitzmann et al., Light Field Networks,
    NeurIPS 2021, section 3 (Plücker coordinates).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(9, dim), nn.GELU(), nn.Linear(dim, dim))

    def forward(self, rig: Rig, size: tuple[int, int]) -> Tensor:
        """Args: rig of n cameras; size (h, w) of the token grid. Returns: (b, n, h·w, d)."""
        return self.embed(token_rays(rig, size))


def token_rays(rig: Rig, size: tuple[int, int]) -> Tensor:
    """Unit direction, centre and moment of the ray through the centre of each token, in the ego frame, metres.

    Args:
        rig: calibration of n cameras.
        size: (h, w) of the token grid, which covers the image.

    Returns:
        (b, n, h·w, 9).
    """
    like = rig.ego_from_cam
    with torch.autocast(like.device.type, enabled=False):
        ys, xs = ((torch.arange(n, device=like.device, dtype=like.dtype) + 0.5) / n for n in size)
        ys, xs = torch.meshgrid(ys * rig.image_size[0], xs * rig.image_size[1], indexing='ij')
        pixels = torch.stack([xs, ys, torch.ones_like(xs)], -1).flatten(0, 1)  # h·w 3
        ego_from_pixels = rig.ego_from_cam[..., :3, :3] @ rig.pixels_to_cam
        direction = pixels @ ego_from_pixels.transpose(-2, -1)  # b n h·w 3
        direction = direction / torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
        centre = rig.ego_from_cam[..., None, :3, 3].expand_as(direction)
        return torch.cat([direction, centre, torch.linalg.cross(centre, direction)], -1)
