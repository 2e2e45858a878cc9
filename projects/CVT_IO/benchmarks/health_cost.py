"""Cost of the health hook as a share of the training steps that it watches.

A difference of one per cent drowns in the scatter of whole steps, so the hook's own calls are timed, in turn with
training steps.
"""

from __future__ import annotations

import itertools
import tempfile
from types import SimpleNamespace

import numpy as np
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper

from ..cvt_io.analysis.latency import time_in_turn
from ..cvt_io.analysis.steps import prepare_model
from ..cvt_io.engine.hooks.health.hook import CVTIOHealthHook
from ..cvt_io.runtime.batches import random_batch
from .targets import CPU, Result

LIMIT = 0.01
_CALLS = 100


def measure_health(name: str, cfg: Config, batch_size: int, samples: int) -> Result:
    """Share of a training step that the hook takes with its default settings, on one process.

    Args:
        name: of the config.
        cfg: the config.
        batch_size: samples per step.
        samples: rounds.
    """
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
        train_loop=SimpleNamespace(batches=[batch]),
        work_dir=tempfile.gettempdir(),
    )
    hook.before_train(runner)
    for key in ('train/loss', 'train/grad_norm'):
        runner.message_hub.update_scalar(key, 0.1)
    steps = itertools.count(1)

    def watch() -> None:
        for runner.iter in itertools.islice(steps, _CALLS):
            hook.before_train_iter(runner, runner.iter, batch)
            hook._before_update(runner)
            hook.after_train_iter(runner, runner.iter, batch)

    timed = {'step': lambda: model.train_step(batch, optim_wrapper), 'hook': watch}
    timings = time_in_turn(timed, samples, CPU, warm_up=1)
    step, calls = (float(np.median(timings[what].seconds)) for what in ('step', 'hook'))
    taken = calls / _CALLS
    what = f'{name}, health hook, share of a training step of {batch_size}'
    return Result(what, taken / step, LIMIT, note=f'{1e3 * taken:.3f} ms of {1e3 * step:.0f} ms')
