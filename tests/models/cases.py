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

# float64 shows that the formulas are the same; the rounding of float32 depends on the processor.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


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


def _calibration(intrinsics: list, rotations: list, translations: list, shape: tuple, image_size: tuple) -> Calibration:
    cam_from_ego = torch.eye(4, dtype=torch.float64).repeat(len(rotations), 1, 1)
    cam_from_ego[:, :3, :3] = torch.stack(rotations)
    cam_from_ego[:, :3, 3] = torch.stack(translations)
    return Calibration(
        torch.tensor(intrinsics).double().view(*shape, 3, 3), cam_from_ego.view(*shape, 4, 4), image_size
    )


def surround_rig(batch: int, cameras: int, image_size: tuple[int, int] = (224, 480), seed: int = 0) -> Calibration:
    """Cameras around a vehicle, as on nuScenes' rig, each sample's a little different."""
    generator, (height, width) = torch.Generator().manual_seed(seed), image_size
    intrinsics, rotations, translations = [], [], []
    for i in range(batch * cameras):
        jitter = (2 * torch.rand(4, generator=generator, dtype=torch.float64) - 1).tolist()
        focal, yaw = width * (0.8 + 0.1 * jitter[0]), 2 * math.pi * (i % cameras) / cameras + 0.1 * jitter[1]
        intrinsics.append([[focal, 0, width / 2 + 9 * jitter[2]], [0, focal, height / 3], [0, 0, 1]])
        # Rows: the camera's x (right), y (down) and z (forward) in ego coordinates (forward, left, up).
        sin, cos = math.sin(yaw), math.cos(yaw)
        rotations.append(torch.tensor([[sin, -cos, 0], [0, 0, -1], [cos, sin, 0]], dtype=torch.float64))
        centre = torch.tensor([0.9 + cos, 0.5 * sin, 1.5 + 0.1 * jitter[3]], dtype=torch.float64)
        translations.append(-rotations[-1] @ centre)
    return _calibration(intrinsics, rotations, translations, (batch, cameras), image_size)


def generic_rig(batch: int, cameras: int, image_size: tuple[int, int] = (37, 53), seed: int = 0) -> Calibration:
    """Any rotations and places; intrinsics with skew and unequal focal lengths."""
    generator, (height, width) = torch.Generator().manual_seed(seed), image_size
    intrinsics, rotations, translations = [], [], []
    for _ in range(batch * cameras):
        fx, fy, skew, cx, cy = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
        intrinsics.append(
            [[width * (0.5 + fx), 20 * skew, width * cx], [0, height * (0.5 + fy), height * cy], [0, 0, 1]]
        )
        axes = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
        rotations.append(axes * torch.linalg.det(axes))
        translations.append(torch.randn(3, generator=generator, dtype=torch.float64))
    return _calibration(intrinsics, rotations, translations, (batch, cameras), image_size)


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


def sample_of(calibration: Calibration, b: int) -> Calibration:
    """One sample's, as a batch of one."""
    return Calibration(calibration.intrinsics[[b]], calibration.cam_from_ego[[b]], calibration.image_size)


def features_of(cameras: int, batch: int = 2) -> list[Tensor]:
    """Two scales of 5 and 7 channels."""
    return [random_grid(batch, cameras, 5, 3, 5, seed=1), random_grid(batch, cameras, 7, 2, 3, seed=2)]


def grid_settings(grid: Grid) -> dict:
    """Arguments of the product's BEV grid."""
    return dict(size=grid.size, metres=grid.metres, offset=grid.offset)


def error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest expected value where that exceeds 1."""
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    difference = (actual.detach().double() - expected.detach().double()).abs().max()
    return (difference / expected.detach().double().abs().max().clamp(min=1)).item()
