"""Runs that go wrong: on the original runs' logs, on made-up curves, and live."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..cvt_io.analysis.notes import training_curves, validation_curves
from ..cvt_io.engine.hooks.health import HealthDetector
from ..cvt_io.zoo.catalogue import REPOSITORY
from .outcome import Outcome
from .tiny import (
    CONFIG,
    TINY_OPTIONS,
    as_arguments,
    make_world,
)

STEPS = 100_000
LOSS_ROW = 500
#: What the logs of the original runs must give: the rule, and the first and last step at which it may be said.
BY_VALIDATION = {
    'cvt_io_v2_3': ('IoU fell', 35_174, 35_174),
    'cvt_io_v2_6': ('IoU fell', 28_139, 28_139),
    'cvt_io_v2_6_rerun': ('never learning', 0, 20_000),
}
BY_LOSS = {
    'cvt_io_v2_3': ('loss jump', 34_999, 34_999 + 2 * LOSS_ROW),
    'cvt_io_v2_6': ('loss jump', 28_499, 28_499 + 2 * LOSS_ROW),
}
Rows = Sequence[tuple[int, float]]


def run(folder: Path, full: bool) -> Iterator[Outcome]:
    """Logs; 100 curves of each kind (short form: 5); a live run that is rolled back, and in full also one by two
    processes, one that is stopped and one that is let go on.
    """
    yield judge_logs(HealthDetector)
    yield from judge_curves(100 if full else 5, 20_000 if full else 3000, HealthDetector)
    root = make_world(folder / 'data')
    yield live(folder / 'rolled_back', root, 'roll_back', 100 if full else 40)
    if full:
        yield live(folder / 'two_processes', root, 'roll_back', 100, processes=2)
        yield live(folder / 'stopped', root, 'stop', 100)
        yield live(folder / 'gone_on', root, 'go_on', 100)


def judge_logs(make: Callable[[int], Any]) -> Outcome:
    """The ten original runs, by their validations and by their losses. Args: make, a detector of so many steps."""
    right = 0
    for name, points in validation_curves().items():
        alarms = _alarms(make(STEPS), [(point.step, point.iou_050) for point in points], 'iou')
        right += _as_expected(alarms, BY_VALIDATION.get(name))
        losses = [(point.step, point.mean_loss) for point in training_curves()[name]]
        right += _as_expected(_alarms(make(STEPS), losses, 'loss'), BY_LOSS.get(name))
    return Outcome("verdicts on the original runs' logs", 2 * len(validation_curves()), right)


def judge_curves(count: int, steps: int, make: Callable[[int], Any]) -> Iterator[Outcome]:
    """Curves of a loss with log-normal noise, row by row: healthy ones, spikes that pass, jumps that stay."""
    block = max(0.004 * steps, 10)
    at = steps // 2
    for what, length, rule in (('healthy', 0, None), ('spike passes', block, None), ('jump stays', steps, 'loss jump')):
        right, delays = 0, []
        for seed in range(count):
            draw = random.Random(seed)
            sigma, ratio = draw.uniform(0.05, 0.6), draw.uniform(3, 10)
            rows = [
                (step, _loss(step, steps, draw, sigma) * (ratio if at < step <= at + length else 1))
                for step in range(1, steps + 1)
            ]
            alarms = _alarms(make(steps), rows, 'loss')
            right += _as_expected(alarms, (rule, at, at + round(4 * block)) if rule else None)
            delays += [step - at for _, step in alarms]
        note = f'said after {np.median(delays) / steps:.1%} of the run' if rule and delays else ''
        yield Outcome(f'curves of {steps} steps: {what}', count, right, note)


def live(folder: Path, root: Path, action: str, steps: int, processes: int = 1) -> Outcome:
    """A run at a rate a thousand times too high, which must be rolled back and end well, stopped, or let go on."""
    options = TINY_OPTIONS | {
        'data_root': str(root),
        'train_cfg.max_iters': steps,
        'train_cfg.val_interval': steps // 2,
        'param_scheduler.total_steps': steps + 1,
        'default_hooks.checkpoint.interval': steps // 2,
        'train_dataloader.batch_size': 2 // processes,
        'optim_wrapper.optimizer.lr': 1.0,
        'default_hooks.health.action': action,
        'default_hooks.health.factor': 0.01,
        'default_hooks.health.interval': 5,
    }
    launcher = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}'] if processes > 1 else []
    command = [*launcher, REPOSITORY / 'tools/train.py', CONFIG, '--work-dir', folder]
    command += ['--launcher', 'pytorch'] if processes > 1 else []
    words = [sys.executable, *map(str, command), '--cfg-options', *as_arguments(options)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    return judge_live(folder, action, steps, done.returncode, done.stderr, processes)


def judge_live(folder: Path, action: str, steps: int, code: int, errors: str, processes: int = 1) -> Outcome:
    """What a run at an absurd rate left behind."""
    what = f'live, absurd rate, {action}' + (f', {processes} processes' if processes > 1 else '')
    record = folder / 'health.json'
    alarms = json.loads(record.read_text())['alarms'] if record.is_file() else []
    losses = _logged_losses(folder)
    if not alarms or not losses:
        return Outcome(what, 1, 0, f'exit code {code}, {len(alarms)} alarms')
    first, last = losses[min(losses)], losses[max(losses)]
    note = (
        f'step {alarms[0]["step"]}: {alarms[0]["rule"]}; loss {first:.3f} at step {min(losses)}, {last:.3f} at the end'
    )
    if action == 'stop':
        told = [line for line in errors.splitlines() if line.startswith('error: step ')]
        return Outcome(what, 1, int(code != 0 and len(told) == 1), note)
    good = code == 0 and max(losses) == steps and alarms[0]['action'] == action
    if action == 'roll_back':
        good = good and math.isfinite(last) and last < first / 2
    return Outcome(what, 1, int(good), note)


def _alarms(detector: Any, rows: Rows, column: str) -> list[tuple[str, int]]:
    return [(str(alarm.rule), alarm.step) for step, value in rows for alarm in detector.update(step, **{column: value})]


def _as_expected(alarms: Sequence[tuple[str, int]], expected: tuple[str, int, int] | None) -> bool:
    if expected is None:
        return not alarms
    rule, first, last = expected
    return len(alarms) == 1 and alarms[0][0] == rule and first <= alarms[0][1] <= last


def _loss(step: int, steps: int, draw: random.Random, sigma: float) -> float:
    return 0.03 * (0.2 + 0.8 * math.exp(-6 * step / steps)) * math.exp(draw.gauss(0, sigma))


def _logged_losses(folder: Path) -> dict[int, float]:
    """Training losses by step."""
    lines = [line for path in folder.glob('*/vis_data/scalars.json') for line in path.read_text().splitlines()]
    rows = [row for row in map(json.loads, lines) if 'loss' in row]
    return {row['step']: row['loss'] for row in rows}
