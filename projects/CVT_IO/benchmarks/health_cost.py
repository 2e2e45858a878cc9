"""Overhead of the health hook relative to a training step.

A difference of one per cent is lost in the noise of whole steps, so the hook's own calls are timed, in turn with
training steps: those made at each step and, weighted by their frequency, the checks of parameters and attention.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace

import numpy as np
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper

from ..cvt_io.analysis.latency import Timing, time_in_turn
from ..cvt_io.analysis.steps import prepare_model
from ..cvt_io.engine.hooks.health.hook import CVTIOHealthHook
from ..cvt_io.runtime.batches import random_batch
from .targets import CPU, Result

LIMIT = 0.01
_CALLS = 100


def measure_health(name: str, cfg: Config, batch_size: int, samples: int) -> Result:
    """Measures the overhead of the hook with default settings relative to a training step."""
    model, batch = prepare_model(cfg, None, CPU).train(), random_batch(cfg, batch_size)
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    hook = CVTIOHealthHook()
    runner = SimpleNamespace(
        iter=1,
        max_iters=100_000,
        model=model,
        optim_wrapper=optim_wrapper,
        hooks=[CheckpointHook(by_epoch=False)],
        message_hub=MessageHub.get_instance('health_cost'),
        work_dir=tempfile.gettempdir(),
    )
    hook.before_train(runner)
    for key in ('train/loss', 'train/grad_norm'):
        runner.message_hub.update_scalar(key, 0.1)

    def watch(steps: Iterable[int]) -> None:
        for runner.iter in steps:  # the hook counts from the step before
            hook.before_train_iter(runner, runner.iter, batch)
            hook._before_update(runner)
            hook.after_train_iter(runner, runner.iter, batch)

    plain = (step - 1 for step in itertools.count(2) if step % hook.interval)
    looks = (step - 1 for step in itertools.count(hook.interval, hook.interval) if step % hook.entropy_interval)
    steps: dict[str, Callable[[], object]] = {
        'step': lambda: model.train_step(batch, optim_wrapper),
        'each': lambda: watch(itertools.islice(plain, _CALLS)),
        'parameters': lambda: watch(itertools.islice(looks, 1)),
        'attention': lambda: hook._add_entropy(runner, {}),
    }
    timings = time_in_turn(steps, samples, CPU, warm_up=1)
    taken = shares(timings, hook.interval, hook.entropy_interval)
    parts = ', '.join(f'{1e3 * value:.3f} ms {what}' for what, value in taken.items())
    step = float(np.median(timings['step'].seconds))
    what = f'{name}, health hook, share of a training step of {batch_size}'
    return Result(what, sum(taken.values()) / step, LIMIT, note=f'{parts}; of {1e3 * step:.0f} ms')


def shares(timings: Mapping[str, Timing], interval: int, entropy_interval: int) -> dict[str, float]:
    """Median seconds per step of each part."""
    each, parameters, attention = (np.median(timings[name].seconds) for name in ('each', 'parameters', 'attention'))
    return {
        'at each': float(each) / _CALLS,
        'for parameters': float(parameters) / interval,
        'for attention': float(attention) / entropy_interval,
    }
