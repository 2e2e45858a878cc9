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
from .training_checks import check_training

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
    check_training(content)
    for loader in filter(content.get, LOADERS):
        if look_up(content, (loader, 'num_workers')) == 0:
            content[loader]['persistent_workers'] = False  # PyTorch refuses it without workers
    return cfg


def spread_settings(cfg: Config, options: Collection[str] = ()) -> None:
    """The first part of :func:`resolve_config`; says in a line which settings have replaced values."""
    content, base = cfg._cfg_dict, getattr(cfg, _RESOLVED, None)
    if base is not None:
        reopen_best_key(content, base)
    if options or base is not None or not _is_settled(content):
        notes = _settle(content, *(_bases(cfg) if base is None else (base, base)), options)
        if os.environ.get('RANK', '0') == '0':
            for note in notes:
                print(f'{cfg.filename or "config"}: {note}', file=sys.stderr)
    object.__setattr__(cfg, _RESOLVED, copy.deepcopy(content))


def _settle(content: Any, raw: Any, resolved: Any, options: Collection[str] = ()) -> list[str]:
    notes = spread(content, raw, resolved, options)
    moved = fit_schedulers(content, raw, resolved, options)
    return notes + [f'max_iters = {content["max_iters"]} also moves {", ".join(moved)}'] * bool(moved)


def _is_settled(content: Any) -> bool:
    """Whether there is nothing to do, so that no file needs to be read again."""
    return is_spread(content) and is_fitted(content)


def _bases(cfg: Config) -> tuple[Any, Any]:
    """The file of a config before and after it is resolved, or what stands in for it."""
    if cfg.filename and Path(cfg.filename).is_file():
        return _read(Path(cfg.filename))
    content = without_base(cfg._cfg_dict)
    return content, content


def _read(path: Path) -> tuple[Any, Any]:
    """A config file before and after it is resolved."""
    raw = Config.fromfile(path)._cfg_dict
    resolved = copy.deepcopy(raw)
    if not _is_settled(raw):
        bases = [Path(Config._get_cfg_path(base, str(path))[0]) for base in Config._get_base_files(str(path))]
        if len(bases) == 1:
            _settle(resolved, *_read(bases[0]))
        elif bases:
            merged = Config()
            for base in bases:
                merged.merge_from_dict(Config.fromfile(base)._cfg_dict)
            _settle(resolved, merged._cfg_dict, merged._cfg_dict)
        else:
            _settle(resolved, *[without_base(raw)] * 2)
    return raw, resolved
