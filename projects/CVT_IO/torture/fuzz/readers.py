"""How each kind of file is read, as far as the plug-in reads it before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config

from ...cvt_io.apis.inputs import open_source
from ...cvt_io.datasets.decoding import EncodedImage
from ...cvt_io.datasets.nuscenes_dataset import CVTIONuScenesDataset
from ...cvt_io.fileio.checkpoint import read_checkpoint
from ...cvt_io.labels.codec import read_label
from ...cvt_io.labels.layout import (
    EXTRA_TAG,
    GRID_FILE,
    grid_json,
    label_dir,
)
from ...cvt_io.runtime.config import load_config
from ...cvt_io.zoo.original import convert_original
from ..tiny import CONFIG, TINY_OPTIONS
from .seeds import CAMERAS, GRID, images

Read = Callable[[Path], object]
_LOOKED_INTO = 10**6


def source_reader(folder: Path) -> Read:
    """Infos, rigs and mmdet3d's pickles, as the inferencer opens them: every frame."""
    _add_images(folder)
    cfg = Config({'test_dataloader': {'dataset': {'bev_grid': GRID.to_dict()}}})

    def read(path: Path) -> None:
        source = open_source(path, cfg)
        for item in source.items:
            source.parse(item)

    return read


def dataset_reader(folder: Path) -> Read:
    """Infos, as training and evaluation read them: every frame's record."""
    _add_images(folder)
    labels = label_dir(folder, EXTRA_TAG, GRID)
    labels.mkdir(parents=True)
    (labels / GRID_FILE).write_text(grid_json(GRID))

    def read(path: Path) -> None:
        dataset = CVTIONuScenesDataset(path.name, str(folder), GRID.to_dict())
        for index in range(len(dataset)):
            dataset.get_data_info(index)

    return read


def label_reader(_: Path) -> Read:
    """Label files, of a known grid and of any."""

    def read(path: Path) -> None:
        try:
            read_label(path, GRID)
        finally:
            read_label(path)

    return read


def image_reader(_: Path) -> Read:
    """Images, whole and decoded at half their size."""

    def read(path: Path) -> None:
        try:
            EncodedImage.read(str(path), reduction=2).decode()
        finally:
            EncodedImage.read(str(path)).decode()

    return read


def checkpoint_reader(_: Path) -> Read:
    """Checkpoints, up to the numbers: a mapped file is read only now."""

    def read(path: Path) -> None:
        for value in read_checkpoint(path)['state_dict'].values():
            if value.numel() < _LOOKED_INTO:
                value.clone()

    return read


def original_reader(_: Path) -> Read:
    """Checkpoints of the original code, converted for a small model."""
    model = MODELS.build(load_config(str(CONFIG), TINY_OPTIONS | {'model.backbone.init_cfg': None}).model)

    def read(path: Path) -> None:
        convert_original(path, model)

    return read


def original_state() -> dict[str, torch.Tensor]:
    """A few weights by names of the original code, of each rule of the conversion one."""
    names = (
        'encoder.backbone.layers.0.0.weight', 'encoder.backbone.layers.1.0._bn1.weight',
        'encoder.latent_array.learned_array', 'encoder.cross_views.0.cross_attend.to_q.0.weight',
        'encoder.self_attends.0.x', 'decoder.layers.0.x', 'to_logits.0.x',
    )  # fmt: skip
    return {f'backbone.{name}': torch.arange(6.0).view(2, 3) for name in names}


def _add_images(folder: Path) -> None:
    for name in CAMERAS:
        (folder / f'{name}.jpg').write_bytes(images()[0])
