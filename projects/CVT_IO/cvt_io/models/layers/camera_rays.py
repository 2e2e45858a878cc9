"""What the cameras' calibration says about each image token: ray directions and camera centres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rig:
    """Calibration of one batch, with its inverses, in at least float32.

    Attributes:
        pixels_to_cam: (b, n, 3, 3), inverse intrinsics.
        ego_from_cam: (b, n, 4, 4), inverse of ``cam_from_ego``.
        image_size: (height, width) in pixels of the images that the intrinsics belong to.
        intrinsics: (b, n, 3, 3).
        cam_from_ego: (b, n, 4, 4).
    """

    pixels_to_cam: Tensor
    ego_from_cam: Tensor
    image_size: tuple[int, int]
    intrinsics: Tensor
    cam_from_ego: Tensor

    @classmethod
    def from_calibration(cls, intrinsics: Tensor, cam_from_ego: Tensor, image_size: Sequence[int]) -> Rig:
        """Args: intrinsics (b, n, 3, 3); cam_from_ego (b, n, 4, 4); image_size (height, width)."""
        height, width = image_size
        intrinsics, cam_from_ego = (
            matrices.to(torch.promote_types(matrices.dtype, torch.float32)) for matrices in (intrinsics, cam_from_ego)
        )
        inverses = torch.linalg.inv(intrinsics), torch.linalg.inv(cam_from_ego)
        return cls(*inverses, (height, width), intrinsics, cam_from_ego)

    def camera_centres(self) -> Tensor:
        """Camera centres in ego metres, homogeneous: (b, n, 4, 1, 1)."""
        return self.ego_from_cam[..., 3, None, None]

    def pixel_rays(self, feature_size: Sequence[int]) -> Tensor:
        """Points at depth 1 of each feature cell's pixel, in ego metres, homogeneous.

        The cells are spread over the image corner to corner: the first lies on pixel 0, the last on pixel ``width``.

        Args:
            feature_size: (h, w) of the feature map.

        Returns:
            (b, n, 4, h, w).
        """
        (h, w), (height, width) = feature_size, self.image_size
        device, dtype = self.ego_from_cam.device, self.ego_from_cam.dtype
        ys = torch.linspace(0, 1, h, device=device, dtype=dtype) * height
        xs = torch.linspace(0, 1, w, device=device, dtype=dtype) * width
        ys, xs = torch.meshgrid(ys, xs, indexing='ij')
        pixels = torch.stack([xs, ys, torch.ones_like(xs)]).flatten(1)  # 3 h·w
        with torch.autocast(pixels.device.type, enabled=False):  # metres to the millimetre need all of fp32
            in_cam = self.pixels_to_cam @ pixels  # b n 3 h·w
            in_cam = torch.cat([in_cam, torch.ones_like(in_cam[..., :1, :])], dim=-2)
            return (self.ego_from_cam @ in_cam).unflatten(-1, (h, w))

    def per_camera(self) -> Rig:
        """Each camera as a batch item of its own: batch b·n, one camera."""
        matrices = self.pixels_to_cam, self.ego_from_cam, self.intrinsics, self.cam_from_ego
        inverse_intrinsics, ego_from_cam, *forward = (m.flatten(0, 1)[:, None] for m in matrices)
        return Rig(inverse_intrinsics, ego_from_cam, self.image_size, *forward)
