"""A run that takes seconds, on a toy world of a few small frames."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.nuscenes.converter import convert
from projects.CVT_IO.cvt_io.runtime.config import load_config
from projects.CVT_IO.cvt_io.zoo.catalogue import published_weights, read_catalogue
from projects.CVT_IO.toy_world import generate_toy_world

REPO = Path(__file__).resolve().parents[1]
TOY_CONFIG = REPO / 'configs/toy/cvt_io_v2_2_toy.py'
TINY_GRID = BEVGrid((48, 48), (48.0, 48.0))
NO_VALIDATION = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)
_NUMBERS = count()

#: As ``--cfg-options`` would give them: the toy config with smaller images, a smaller model and a few steps.
TINY_OPTIONS = {
    'model.backbone.out_blocks': (0, 2),
    'model.neck.in_channels': (16, 24),
    'model.neck.dim': 16,
    'model.neck.head_dim': 4,
    'model.neck.depth': 2,
    'model.bev_decoder.in_channels': 16,
    'model.bev_decoder.channels': (16, 16),
    'model.head.in_channels': 16,
    'train_cfg.max_iters': 4,
    'train_cfg.val_interval': 2,
    'train_cfg.base_batch_size': 2,
    'param_scheduler.total_steps': 5,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'val_dataloader.batch_size': 2,
    'val_dataloader.num_workers': 0,
    'test_dataloader.batch_size': 2,
    'test_dataloader.num_workers': 0,
    'default_hooks.logger.interval': 1,
    'default_hooks.checkpoint.interval': 2,
    'vis_backends': [dict(type='LocalVisBackend')],
    'visualizer.vis_backends': [dict(type='LocalVisBackend')],
}


def make_world(root: Path, scenes: int = 3, frames: int = 3) -> Path:
    """Writes a converted toy world whose last scene is for validation; returns its folder."""
    generate_toy_world(root, scenes=scenes, frames=frames, image_size=(90, 160), progress=False)
    convert(root, 'v1.0-mini', grid=TINY_GRID, progress=False)
    return root


def as_arguments(options: dict[str, Any]) -> list[str]:
    """Options as the words that follow ``--cfg-options``."""
    return [f'{key}={_word(value)}' for key, value in options.items() if not key.endswith('vis_backends')]


def _word(value: object) -> str:
    return str(value).replace(' ', '')


def tiny_config(data_root: Path, work_dir: Path, **options: Any) -> Config:
    """The tiny config on a data set; ``options`` with ``__`` for dots."""
    extra = {key.replace('__', '.'): value for key, value in options.items()}
    return load_config(str(TOY_CONFIG), TINY_OPTIONS | {'data_root': str(data_root)} | extra, str(work_dir))


def tiny_runner(config: Config, *hooks: Hook, build: Callable[[Config], Runner] = Runner.from_cfg) -> Runner:
    """A runner with further hooks, without panels; mmengine shares logs between runs of one name."""
    config.experiment_name = f'tiny_{next(_NUMBERS)}'
    if config.default_hooks.visualization:
        config.default_hooks.visualization.val_panels = 0
    runner = build(config)
    for each in hooks:
        runner.register_hook(each)
    return runner


def train_tiny(config: Config, *hooks: Hook, **options: Any) -> Runner:
    """Trains :func:`tiny_runner` and returns it."""
    runner = tiny_runner(config, *hooks, **options)
    runner.train()
    return runner


def hook(priority: str | int = 'NORMAL', **methods: Callable) -> Hook:
    """A hook of functions without ``self``."""
    return type('TestHook', (Hook,), dict(priority=priority) | {k: staticmethod(v) for k, v in methods.items()})()


def interrupt_before(step: int) -> Hook:
    """Ends a run as a kill between two steps would."""

    def stop(runner: Runner, batch_idx: int, **_: Any) -> None:
        if batch_idx + 1 == step:
            raise KeyboardInterrupt

    return hook(before_train_iter=stop)


def assert_same_state(first: Runner, second: Runner) -> None:
    """Weights, buffers and optimizer state are equal bit for bit."""
    optimizers = [run.optim_wrapper.state_dict() for run in (first, second)]
    assert optimizers[0]['param_groups'] == optimizers[1]['param_groups']
    states = [run.optim_wrapper.state_dict()['state'] | {'model': run.model.state_dict()} for run in (first, second)]
    assert states[0].keys() == states[1].keys()
    for part, values in states[0].items():
        assert values.keys() == states[1][part].keys()
        different = [key for key in values if not torch.equal(values[key], states[1][part][key])]
        assert not different, (part, different[:3])


def toy_weights(name: str) -> Path:
    """File of a published toy model."""
    return REPO / published_weights(read_catalogue(), name).location
