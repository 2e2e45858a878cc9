"""A long training run observed from outside: memory, open files, zombies, processes left behind."""

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
import pytest
from scipy.stats import theilslopes

from tests.tiny import REPO, TINY_OPTIONS, TOY_CONFIG, as_arguments

MIB = 2**20
SECONDS_BETWEEN = 0.5
#: Per thousand steps: MiB (100,000 steps would cost half a gigabyte) and open files.
FLAT = {'memory': 5.0, 'files': 1.0}
#: Share of the run in which it reaches its level: caches, allocator, started workers.
WARM_UP = 0.3


@dataclass(frozen=True)
class Sample:
    """Process tree of a run at one moment: step of the log, unshared memory in MiB, open files and sockets, ids."""

    step: int
    memory: float
    files: int
    processes: frozenset[int]
    zombies: frozenset[int]


@pytest.mark.parametrize(('steps', 'interval'), [(20, 10), pytest.param(2000, 100, marks=pytest.mark.slow)])
def test_run(toy_root, tmp_path, steps, interval):
    """Two data workers, validation and checkpoint at each interval. A short run has no level yet to be flat."""
    options = TINY_OPTIONS | {
        'data_root': str(toy_root),
        'train_cfg.max_iters': steps,
        'train_cfg.val_interval': interval,
        'param_scheduler.total_steps': steps + 1,
        'default_hooks.checkpoint.interval': interval,
        'train_dataloader.num_workers': 2,
        'train_dataloader.persistent_workers': True,
        'val_dataloader.num_workers': 1,
        'val_dataloader.persistent_workers': True,
    }
    command = [sys.executable, REPO / 'tools/train.py', TOY_CONFIG, '--work-dir', tmp_path / 'run']
    with (tmp_path / 'output.txt').open('w') as output:
        process = subprocess.Popen(
            [*map(str, command), '--cfg-options', *as_arguments(options)], stdout=output, stderr=subprocess.STDOUT
        )
        samples = list(watch(process, tmp_path / 'run'))
    assert process.returncode == 0 and samples[-1].step == steps, (tmp_path / 'output.txt').read_text()[-2000:]
    grown = ('memory', 'files') if steps < 1000 else ()
    assert set(faults(samples, steps)) <= set(grown)


def watch(process: subprocess.Popen, work_dir: Path) -> Iterator[Sample]:
    """Samples a process and its descendants until it ends; the last sample is of what it left behind."""
    root = psutil.Process(process.pid)
    seen: set[psutil.Process] = set()
    while process.poll() is None:
        tree = [root, *root.children(recursive=True)]
        seen.update(tree)
        yield _sample(tree, _last_step(work_dir))
        time.sleep(SECONDS_BETWEEN)
    _, left = psutil.wait_procs(seen - {root}, timeout=60)  # returns as soon as all are gone
    yield _sample(left, _last_step(work_dir))


def faults(samples: list[Sample], steps: int) -> dict[str, float]:
    """What is wrong, with its figure."""
    *alive, after = samples
    found = {what: _slope(alive, what, steps) for what, flat in FLAT.items() if _slope(alive, what, steps) > flat}
    # One that is gone in the next sample was only about to be waited for.
    zombies = sum(bool(now.zombies & then.zombies) for now, then in pairwise(alive))
    return found | {what: n for what, n in (('zombies', zombies), ('left behind', len(after.processes))) if n}


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
        except psutil.Error:  # it ended meanwhile
            continue
    return Sample(step, memory / MIB, files, frozenset(process.pid for process in tree), frozenset(zombies))


def _last_step(work_dir: Path) -> int:
    """Of the log; 0 if there is none."""
    lines = [line for path in work_dir.glob('*/vis_data/scalars.json') for line in path.read_text().splitlines()]
    return max((json.loads(line)['step'] for line in lines if line.endswith('}')), default=0)


def _slope(samples: list[Sample], column: str, steps: int) -> float:
    """Theil-Sen slope per thousand steps after the warm-up; validations would move a least-squares line."""
    late = [sample for sample in samples if sample.step > WARM_UP * steps]
    values = np.array([getattr(sample, column) for sample in late], float)
    return 1000 * theilslopes(values, np.array([sample.step for sample in late], float))[0] if len(late) > 1 else 0.0


def samples(memory=lambda step: 600.0, files=lambda step: 40, zombies=lambda step: frozenset()) -> list[Sample]:
    """A run of 2,000 steps sampled every 10, and the last sample after it."""
    alive = [Sample(s, memory(s), files(s), frozenset({1, 2}), zombies(s)) for s in range(0, 2001, 10)]
    return [*alive, Sample(2000, 0.0, 0, frozenset(), frozenset())]


@pytest.mark.parametrize(
    ('run', 'expected'),
    [
        (samples(), []),
        # Warm-up and validations are not a leak.
        (samples(memory=lambda s: 600 + min(s, 500) / 10 + (200 if s % 100 == 0 else 0)), []),
        (samples(zombies=lambda s: frozenset({s} if s % 100 == 0 else ())), []),
        (samples(memory=lambda s: 600 + 0.006 * s), ['memory']),  # 6 MiB per thousand steps
        (samples(files=lambda s: 40 + s // 500), ['files']),
        (samples(zombies=lambda s: frozenset({2} if s > 1000 else ())), ['zombies']),
        ([*samples()[:-1], Sample(2000, 5.0, 3, frozenset({2}), frozenset())], ['left behind']),
    ],
)
def test_faults(run, expected):
    assert [*faults(run, 2000)] == expected


def test_child_that_outlives_the_run_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, 'wait_procs', lambda processes, timeout: ([], list(processes)))
    script = 'import subprocess, time; subprocess.Popen(["sleep", "60"]); time.sleep(1.5)'
    *alive, after = watch(subprocess.Popen([sys.executable, '-c', script]), tmp_path)
    for pid in after.processes:
        psutil.Process(pid).kill()
    assert len(after.processes) == 1 and max(sample.files for sample in alive) > 0


def test_last_step_of_a_log_that_is_being_written(tmp_path):
    folder = tmp_path / '20260101_000000/vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('{"step": 10}\n{"step": 20}\n{"st')
    assert _last_step(tmp_path) == 20 and _last_step(tmp_path / 'elsewhere') == 0
