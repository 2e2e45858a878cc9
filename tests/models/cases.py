"""Random weights, features and calibrations for the model tests, seeded."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from projects.CVT_IO.cvt_io.models.layers import Rig
from tests.models.naive import Calibration, Grid, Weights

# Coarse coordinates of these grids are exact in float32, so that float64 comparisons are not limited by the buffer.
SQUARE = Grid(size=(16, 16), metres=(32.0, 32.0), coarse=(2, 2))
WIDE = Grid(size=(16, 40), metres=(8.0, 80.0), coarse=(2, 5))
TALL = Grid(size=(24, 16), metres=(96.0, 16.0), coarse=(3, 2), offset=0.25)

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def random_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    """Gives every weight, bias, affine and running statistic a random value of sensible size; evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for child in module.modules():
        normed = isinstance(child, (nn.LayerNorm, nn.BatchNorm2d))
        for name, tensor in [*child.named_parameters(recurse=False), *child.named_buffers(recurse=False)]:
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            if name == 'running_var' or (normed and name == 'weight'):
                value = 0.5 + noise.abs()
            elif name in ('running_mean', 'bias'):
                value = 0.5 * noise
            elif name == 'weight':
                value = noise * (2 / tensor[0].numel()) ** 0.5
            elif name.startswith('learned'):
                value = noise
            else:
                continue  # counters and fixed coordinates
            tensor.data.copy_(value)
    module.eval()  # mmdet's backbones return None from it
    return module


def weights_of(module: nn.Module) -> Weights:
    return Weights({name: tensor.detach().clone() for name, tensor in module.state_dict().items()})


def random_grid(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_share(*shape: int, seed: int = 0) -> Tensor:
    """Uniform in [0, 1)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _rotation(generator: torch.Generator) -> Tensor:
    """A rotation about a random axis by a random angle (a normalised quaternion)."""
    w, x, y, z = torch.nn.functional.normalize(torch.randn(4, generator=generator, dtype=torch.float64), dim=0).tolist()
    return torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )


def surround_rig(batch: int, cameras: int, image_size: tuple[int, int] = (224, 480), seed: int = 0) -> Calibration:
    """Cameras around a vehicle, as on nuScenes' rig, each sample's a little different."""
    generator = torch.Generator().manual_seed(seed)

    def jitter(scale: float) -> float:
        return scale * (2 * torch.rand((), generator=generator, dtype=torch.float64).item() - 1)

    height, width = image_size
    intrinsics = torch.zeros(batch, cameras, 3, 3, dtype=torch.float64)
    cam_from_ego = torch.zeros(batch, cameras, 4, 4, dtype=torch.float64)
    for b in range(batch):
        for n in range(cameras):
            focal = width * (0.8 + jitter(0.1))
            intrinsics[b, n] = torch.tensor([[focal, 0, width / 2 + jitter(9)], [0, focal, height / 3], [0, 0, 1]])
            yaw = 2 * math.pi * n / cameras + jitter(0.1)
            # Rows: the camera's x (right), y (down) and z (forward) in ego coordinates (forward, left, up).
            rotation = torch.tensor(
                [[math.sin(yaw), -math.cos(yaw), 0], [0, 0, -1], [math.cos(yaw), math.sin(yaw), 0]],
                dtype=torch.float64,
            )
            centre = torch.tensor([0.9 + math.cos(yaw), 0.5 * math.sin(yaw), 1.5 + jitter(0.1)], dtype=torch.float64)
            cam_from_ego[b, n, :3, :3] = rotation
            cam_from_ego[b, n, :3, 3] = -rotation @ centre
            cam_from_ego[b, n, 3, 3] = 1
    return Calibration(intrinsics, cam_from_ego, image_size)


def generic_rig(batch: int, cameras: int, image_size: tuple[int, int] = (37, 53), seed: int = 0) -> Calibration:
    """Any rotations and places; intrinsics with skew and unequal focal lengths."""
    generator = torch.Generator().manual_seed(seed)
    intrinsics = torch.zeros(batch, cameras, 3, 3, dtype=torch.float64)
    cam_from_ego = torch.zeros(batch, cameras, 4, 4, dtype=torch.float64)
    for b in range(batch):
        for n in range(cameras):
            fx, fy, skew, cx, cy = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
            height, width = image_size
            intrinsics[b, n] = torch.tensor(
                [[width * (0.5 + fx), 20 * skew, width * cx], [0, height * (0.5 + fy), height * cy], [0, 0, 1]]
            )
            cam_from_ego[b, n, :3, :3] = _rotation(generator)
            cam_from_ego[b, n, :3, 3] = torch.randn(3, generator=generator, dtype=torch.float64)
            cam_from_ego[b, n, 3, 3] = 1
    return Calibration(intrinsics, cam_from_ego, image_size)


def rig_of(calibration: Calibration, dtype: torch.dtype = torch.float32) -> Rig:
    """The product's rig; float64 goes around ``from_calibration``, which computes in float32."""
    if dtype == torch.float32:
        return Rig.from_calibration(
            calibration.intrinsics.float(), calibration.cam_from_ego.float(), calibration.image_size
        )
    return Rig(
        torch.linalg.inv(calibration.intrinsics),
        torch.linalg.inv(calibration.cam_from_ego),
        calibration.image_size,
        calibration.intrinsics,
        calibration.cam_from_ego,
    )


def camera_subset(calibration: Calibration, cameras: list[int]) -> Calibration:
    """The same rig with some cameras, or with its cameras in another order."""
    return Calibration(calibration.intrinsics[:, cameras], calibration.cam_from_ego[:, cameras], calibration.image_size)


def error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest expected value where that exceeds 1."""
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    difference = (actual.detach().double() - expected.detach().double()).abs().max()
    return (difference / expected.detach().double().abs().max().clamp(min=1)).item()
