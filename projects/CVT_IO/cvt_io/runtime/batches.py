"""Batches for counting and timing."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import Det3DDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import DataLoader

from ..datasets import CVTIOResizeCrop
from ..datasets.wrappers import first_part
from ..labels.classes import CLASSES
from .config import ConfigError, build_dataset
from .resolve import fit_workers

CAMERAS = 6


def image_size(cfg: Config) -> tuple[int, int]:
    """(height, width) of the images that a config's test pipeline makes; see :func:`resize_crop` for errors."""
    step = resize_crop(cfg)
    return step.height, step.width


def resize_crop(cfg: Config) -> CVTIOResizeCrop:
    """The transform of a config's test pipeline that makes the model's images.

    Raises:
        ConfigError: the pipeline has no ``CVTIOResizeCrop``.
    """
    for step in first_part(cfg.test_dataloader.dataset).pipeline:
        if step.get('type') == 'CVTIOResizeCrop':
            return TRANSFORMS.build(step)
    raise ConfigError(f'{cfg.filename}: test_dataloader.dataset.pipeline: expected a CVTIOResizeCrop, found none')


def random_batch(
    cfg: Config, batch_size: int, cameras: int = CAMERAS, seed: int = 0, size: tuple[int, int] | None = None
) -> dict:
    """A batch as the data loader gives it: noise images, cameras that look around in a circle, random labels.

    The images are of the config's :func:`image_size`, or of another (height, width).

    Returns:
        ``inputs`` and ``data_samples``, before the data preprocessor.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = size or image_size(cfg)
    imgs = torch.randint(256, (batch_size, cameras, 3, height, width), dtype=torch.uint8, generator=generator)
    intrinsics = torch.tensor([[0.8 * width, 0, width / 2], [0, 0.8 * width, height / 2], [0, 0, 1]])
    inputs = dict(
        imgs=imgs,
        intrinsics=intrinsics.expand(batch_size, cameras, 3, 3),
        cam_from_ego=_circle(cameras).expand(batch_size, cameras, 4, 4),
    )
    cells = tuple(first_part(cfg.test_dataloader.dataset).bev_grid['size'])
    return dict(inputs=inputs, data_samples=[_random_sample(cells, generator) for _ in range(batch_size)])


def test_batches(cfg: Config, batch_size: int, count: int = 16) -> list[dict]:
    """The first batches of a config's test set, before the data preprocessor."""
    loader = build_loader(cfg, 'test_dataloader', batch_size=batch_size, num_workers=0)
    return list(itertools.islice(loader, count))


def build_loader(cfg: Config, name: str, **overrides: Any) -> DataLoader:
    """Builds a data loader without a Runner."""
    loader = dict(cfg[name], dataset=build_dataset(cfg, name), **overrides)
    fit_workers(loader)
    with DefaultScope.overwrite_default_scope('mmdet3d'):  # where the sampler is registered
        return Runner.build_dataloader(loader)


def _circle(cameras: int) -> Tensor:
    """(cameras, 4, 4) ``cam_from_ego`` of cameras 1.5 m above the ego that look outwards, evenly spread."""
    yaw = torch.arange(cameras) * (2 * torch.pi / cameras)
    cos, sin, zero, one = yaw.cos(), yaw.sin(), torch.zeros(cameras), torch.ones(cameras)
    rows = [
        torch.stack([sin, -cos, zero, zero], -1),  # right
        torch.stack([zero, zero, -one, 1.5 * one], -1),  # down
        torch.stack([cos, sin, zero, zero], -1),  # ahead
        torch.stack([zero, zero, zero, one], -1),
    ]
    return torch.stack(rows, -2)


def _random_sample(size: tuple[int, int], generator: torch.Generator) -> Det3DDataSample:
    sample = Det3DDataSample()
    sample.gt_bev = BaseDataElement(
        classes=torch.randint(2, (len(CLASSES), *size), dtype=torch.uint8, generator=generator),
        visibility=torch.randint(1, 5, size, dtype=torch.uint8, generator=generator),
        center=torch.rand(size, generator=generator),
    )
    return sample
