"""What the tools do with a config before a Runner sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdet3d.registry import DATASETS
from mmengine.config import Config

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def load_config(path: str, cfg_options: dict[str, Any] | None = None, work_dir: str | None = None) -> Config:
    """Reads a config as mmdet3d's tools do.

    ``data_root`` among the options moves every data set, although the config has copied its value into them.

    Args:
        path: config file.
        cfg_options: overrides, ``{'a.b': value}``.
        work_dir: overrides the config's; the default is ``work_dirs/<config name>``.
    """
    cfg = Config.fromfile(path)
    options = dict(cfg_options or {})
    if 'data_root' in options:
        options = {
            f'{loader}.dataset.data_root': options['data_root'] for loader in LOADERS if cfg.get(loader)
        } | options
    cfg.merge_from_dict(options)
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(path).stem))
    return cfg


def require_data(cfg: Config, *loaders: str) -> None:
    """Raises a ``DataError`` if the infos of a data loader are missing, before anything slow is built."""
    for loader in loaders:
        dataset = cfg[loader].dataset
        check = getattr(DATASETS.get(dataset.type), 'check_prepared', None)
        if check is not None:
            check(Path(dataset.data_root, dataset.ann_file), dataset.data_root)
