"""A config as all of its parts will see it."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .schedule_length import fit_schedulers, is_fitted
from .shared_settings import LOADERS, check_agreement, is_spread, look_up, spread, without_base
from .task_checks import check_task, choose_best_key, reopen_best_key
from .training_checks import check_length

#: Attribute of a config that is resolved: its content then, as the base for what is changed later.
_RESOLVED = '_cvt_io_resolved'


def resolve_config(cfg: Config, options: Collection[str] = ()) -> Config:
    """Lets settings that are given once reach every place, derives what follows from them, and checks the result.

    See ``SETTINGS`` for the settings and their places. ``max_iters`` moves the schedulers too, and the best checkpoint
    is by default the one with the best IoU of the first label group. Resolving again changes nothing.

    Args:
        cfg: changed in place.
        options: keys that a user has overridden by name; those at the top level reach every place that is not among
            them.

    Returns:
        ``cfg``.

    Raises:
        ConfigError: the config contradicts itself.
    """
    spread_settings(cfg, options)
    content = cfg._cfg_dict
    check_agreement(content)
    check_task(content)
    choose_best_key(content)
    check_length(content)
    for loader in filter(content.get, LOADERS):
        fit_workers(content[loader])
    return cfg


def fit_workers(loader: Any) -> None:
    """Drops what PyTorch refuses without workers from the config of a data loader that has none."""
    if look_up(loader, ('num_workers',)) == 0:
        loader['persistent_workers'] = False
        for name in ('prefetch_factor', 'multiprocessing_context', 'timeout'):
            loader.pop(name, None)


def spread_settings(cfg: Config, options: Collection[str] = ()) -> None:
    """The first part of :func:`resolve_config`; says in a line which settings have replaced values."""
    content, base = cfg._cfg_dict, getattr(cfg, _RESOLVED, None)
    notes: list[str] = []
    if base is not None:
        reopen_best_key(content, base)
        notes = _settle(content, base, base, options)
    elif options or not _is_settled(content):
        raw, resolved, notes = _base_of(cfg)
        notes = notes + _settle(content, raw, resolved, options)
    if os.environ.get('RANK', '0') == '0':
        for note in notes:
            print(note, file=sys.stderr)
    object.__setattr__(cfg, _RESOLVED, copy.deepcopy(content))


def _settle(content: Any, raw: Any, resolved: Any, options: Collection[str], where: str = 'config') -> list[str]:
    notes = spread(content, raw, resolved, options)
    if moved := fit_schedulers(content, raw, resolved, options):
        notes.append(f'max_iters = {content["max_iters"]} also moves {", ".join(moved)}')
    return [f'{where}: {note}' for note in notes]


def _is_settled(content: Any) -> bool:
    """Whether there is nothing to do, so that no file needs to be read again."""
    return is_spread(content) and is_fitted(content)


def _base_of(cfg: Config) -> tuple[Any, Any, list[str]]:
    """The file of a config before and after it is resolved, or what stands in for it, and what was replaced."""
    if cfg.filename and Path(cfg.filename).is_file():
        return _read(Path(cfg.filename))
    content = without_base(cfg._cfg_dict)
    return content, content, []


def _read(path: Path) -> tuple[Any, Any, list[str]]:
    """A config file before and after it is resolved, and what was replaced in it and its bases."""
    raw = Config.fromfile(path)._cfg_dict  # noqa: TID251 - configs are Python
    if _is_settled(raw):
        return raw, raw, []
    files = [Path(Config._get_cfg_path(base, str(path))[0]) for base in Config._get_base_files(str(path))]
    if len(files) == 1:
        base, resolved_base, notes = _read(files[0])
    else:
        merged = Config()
        for file in files:
            merged.merge_from_dict(Config.fromfile(file)._cfg_dict)  # noqa: TID251 - configs are Python
        base = resolved_base = merged._cfg_dict if files else without_base(raw)
        notes = []
    resolved = copy.deepcopy(raw)
    return raw, resolved, notes + _settle(resolved, base, resolved_base, (), str(path))
