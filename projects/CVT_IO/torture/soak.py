"""Long haul: a training run of many steps, watched from outside as an administrator would."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
from scipy.stats import theilslopes

from ..cvt_io.zoo.catalogue import REPOSITORY
from .outcome import Outcome
from .tiny import (
    CONFIG,
    TINY_OPTIONS,
    as_arguments,
    make_world,
)

MIB = 2**20
SECONDS_BETWEEN = 0.5
#: MiB a thousand steps: 100,000 of them would cost half a gigabyte.
FLAT_MEMORY = 5.0
FLAT_FILES = 1.0
#: A run reaches its level (caches, allocator, workers started) in the first part of its steps.
WARM_UP = 0.3


@dataclass(frozen=True)
class Sample:
    """The process tree of a run at one moment.

    Attributes:
        step: last step in the log.
        memory: memory that the processes do not share, in MiB.
        files: open files and sockets.
        processes: ids of all.
        zombies: those that ended and that nobody has waited for yet.
    """

    step: int
    memory: float
    files: int
    processes: frozenset[int]
    zombies: frozenset[int]


def run(folder: Path, full: bool) -> Iterator[Outcome]:
    """A run of 2,000 steps (short form: 20) with two workers, validated and saved every 100 (10)."""
    steps, interval = (2000, 100) if full else (20, 10)
    options = TINY_OPTIONS | {
        'data_root': str(make_world(folder / 'data')),
        'train_cfg.max_iters': steps,
        'train_cfg.val_interval': interval,
        'param_scheduler.total_steps': steps + 1,
        'default_hooks.checkpoint.interval': interval,
        'train_dataloader.num_workers': 2,
        'train_dataloader.persistent_workers': True,
        'val_dataloader.num_workers': 1,
        'val_dataloader.persistent_workers': True,
        'default_hooks.health.action': 'go_on',  # the long run is tried here, not the tiny model's learning
    }
    command = [sys.executable, REPOSITORY / 'tools/train.py', CONFIG, '--work-dir', folder / 'run']
    with (folder / 'output.txt').open('w') as output:
        process = subprocess.Popen(
            [*map(str, command), '--cfg-options', *as_arguments(options)], stdout=output, stderr=subprocess.STDOUT
        )
        samples = list(watch(process, folder / 'run'))
    yield from judge(samples, steps, process.returncode, strict=full)


def watch(process: subprocess.Popen, work_dir: Path) -> Iterator[Sample]:
    """Looks at a process and its descendants until it ends; the last sample is of what it left behind."""
    root = psutil.Process(process.pid)
    seen: set[psutil.Process] = set()
    while process.poll() is None:
        tree = [root, *root.children(recursive=True)]
        seen.update(tree)
        yield _sample(tree, _last_step(work_dir))
        time.sleep(SECONDS_BETWEEN)
    _, left = psutil.wait_procs(seen - {root}, timeout=5)
    yield _sample(left, _last_step(work_dir))


def judge(samples: list[Sample], steps: int, returncode: int, strict: bool) -> Iterator[Outcome]:
    """What the samples say; without ``strict`` the slopes are told and not judged, as a short run has no level yet."""
    *alive, after = samples
    done = after.step if returncode == 0 else min(after.step, steps - 1)
    yield Outcome('steps of a run with validation and checkpoints', steps, done, f'exit code {returncode}')
    for what, column, flat, unit in (
        ('memory flat', 'memory', FLAT_MEMORY, 'MiB'),
        ('open files flat', 'files', FLAT_FILES, 'files'),
    ):
        slope, level = _slope(alive, column, steps)
        good = slope <= flat or not strict
        yield Outcome(what, 1, int(good), f'{slope:+.2f} {unit} a thousand steps, at {level:.0f}')
    # One that is gone at the next look was only just about to be waited for.
    zombies = sum(bool(now.zombies & then.zombies) for now, then in pairwise(alive))
    yield Outcome('looks without a zombie', len(alive) - 1, len(alive) - 1 - zombies)
    started = len(frozenset().union(*(sample.processes for sample in alive)))
    yield Outcome('processes gone at the end', started, started - len(after.processes))


def _sample(tree: list[psutil.Process], step: int) -> Sample:
    memory = files = 0
    zombies = set()
    for process in tree:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                zombies.add(process.pid)
                continue
            memory += process.memory_full_info().uss
            files += process.num_fds()
        except psutil.Error:  # it ended while it was looked at
            continue
    return Sample(step, memory / MIB, files, frozenset(process.pid for process in tree), frozenset(zombies))


def _last_step(work_dir: Path) -> int:
    """Of the log; 0 while there is none."""
    lines = [line for path in work_dir.glob('*/vis_data/scalars.json') for line in path.read_text().splitlines()]
    steps = [json.loads(line)['step'] for line in lines[:-1] + [line for line in lines[-1:] if line.endswith('}')]]
    return max(steps, default=0)


def _slope(samples: list[Sample], column: str, steps: int) -> tuple[float, float]:
    """Theil–Sen slope a thousand steps and median of a column, after the warm-up; validation's ups and downs move a
    least-squares line.
    """
    late = [sample for sample in samples if sample.step > WARM_UP * steps]
    values = np.array([getattr(sample, column) for sample in late], float)
    where = np.array([sample.step for sample in late], float)
    return 1000 * theilslopes(values, where)[0], float(np.median(values))
