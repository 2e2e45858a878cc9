"""What the tools do with a config before a Runner sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdet3d.registry import DATASETS
from mmengine.config import Config

from ..geometry import BEVGrid

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def load_config(path: str, cfg_options: dict[str, Any] | None = None, work_dir: str | None = None) -> Config:
    """Reads a config as mmdet3d's tools do.

    ``data_root`` among the options moves every data set and ``max_iters`` the whole schedule, although the config has
    copied their values already.

    Args:
        path: config file.
        cfg_options: overrides, ``{'a.b': value}``.
        work_dir: overrides the config's; the default is ``work_dirs/<config name>``.
    """
    cfg = Config.fromfile(path)
    options = dict(cfg_options or {})
    copies: dict[str, Any] = {}
    if 'data_root' in options:
        copies = {f'{loader}.dataset.data_root': options['data_root'] for loader in LOADERS if cfg.get(loader)}
    if 'max_iters' in options:
        copies['train_cfg.max_iters'] = options['max_iters']
        copies['param_scheduler.total_steps'] = options['max_iters'] + 1
    cfg.merge_from_dict(copies | options)
    for loader in filter(cfg.get, LOADERS):
        if cfg[loader].get('num_workers') == 0:
            cfg[loader].persistent_workers = False  # PyTorch refuses it without workers
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(path).stem))
    return cfg


def require_data(cfg: Config, *loaders: str) -> None:
    """Raises a ``DataError`` if the infos of a data loader are missing, before anything slow is built."""
    for loader in filter(cfg.get, loaders):
        dataset = cfg[loader].dataset
        check = getattr(DATASETS.get(dataset.type), 'check_prepared', None)
        if check is not None:
            check(Path(dataset.data_root, dataset.ann_file), dataset.data_root, BEVGrid.from_dict(dataset.bev_grid))
