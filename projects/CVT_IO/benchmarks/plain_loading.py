"""Image loading with Pillow alone, as a reference for benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmdet3d.registry import DATASETS
from mmengine.config import Config
from PIL import Image
from torch import Tensor

from ..cvt_io.datasets import CVTIONuScenesDataset


def load_plainly(path: str, height: int, width: int, top_crop: int) -> np.ndarray:
    """Decodes, resizes to (height + top_crop, width) and crops the top: (height, width, 3) uint8 RGB."""
    with Image.open(path) as file:
        # convert() would copy an RGB image.
        img = file if file.mode == 'RGB' else file.convert('RGB')
        img = img.resize((width, height + top_crop), Image.Resampling.BILINEAR)
    return np.asarray(img.crop((0, top_crop, width, height + top_crop)))


def loading_steps(cfg: Config, data_root: Path, frames: int) -> dict[str, Callable[[], list[Tensor]]]:
    """Steps to time that load the images of some frames, (6, 3, height, width) uint8 each.

    Args:
        cfg: config whose training pipeline, without labels, is *ours*.
        data_root: folder of the training infos and images.
        frames: number of frames, evenly spaced over the data set.

    Returns:
        ``plain``: Pillow alone; ``ours``; ``ours, reduced``: decoded at half the size, with slightly different pixels.

    Raises:
        ValueError: the pixels of plain and ours differ.
    """
    pipeline = [step for step in cfg.train_dataloader.dataset.pipeline if step.type != 'CVTIOLoadBEVLabel']
    load, resize, *rest = pipeline
    dataset, reduced = (
        _dataset(cfg, data_root, [step, resize, *rest]) for step in (load, dict(type=load.type, reduction=2))
    )
    chosen = np.linspace(0, len(dataset) - 1, min(frames, len(dataset))).astype(int).tolist()
    paths = [[image['path'] for image in dataset.get_data_info(index)['images']] for index in chosen]
    steps = {
        'plain': lambda: [_load_frame_plainly(frame, resize.size, resize.top_crop) for frame in paths],
        'ours': lambda: [dataset[index]['inputs']['imgs'] for index in chosen],
        'ours, reduced': lambda: [reduced[index]['inputs']['imgs'] for index in chosen],
    }
    for index, expected, found in zip(chosen, steps['plain'](), steps['ours'](), strict=True):
        if not torch.equal(expected, found):
            raise ValueError(f'frame {index}: expected the pixels of plain Pillow and ours to be equal')
    return steps


def _load_frame_plainly(paths: list[str], size: tuple[int, int], top_crop: int) -> Tensor:
    imgs = np.stack([load_plainly(path, *size, top_crop) for path in paths])
    return torch.from_numpy(imgs).permute(0, 3, 1, 2).contiguous()


def _dataset(cfg: Config, data_root: Path, pipeline: list) -> CVTIONuScenesDataset:
    settings = dict(cfg.train_dataloader.dataset, data_root=str(data_root), pipeline=pipeline, with_labels=False)
    return DATASETS.build(settings)
