"""Several processes: the same results as one, and a quick end of all when one dies."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config
from tests.team import run_team, run_tool_in_team
from tests.tiny import REPO, TINY_OPTIONS, TOY_CONFIG, as_arguments, make_world
from tests.torture import launched
from tests.torture.gradients import TOLERANCE, Step, compare, one_step, same_step
from tests.torture.launched import DEADLINE, Ending, data_workers, ranks, run_and_hit, summary

SLOW = pytest.mark.slow
FRAMES = 8  # of the validation scene
# An untrained model predicts about one half everywhere.
THRESHOLDS = (0.48, 0.5, 0.52)
IN_TRAINING = r'Iter\(train\) \[ *5/'
IN_VALIDATION = r'Iter\(val\) \['


@pytest.fixture(scope='module')
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp('world') / 'data', frames=FRAMES)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights."""
    torch.manual_seed(0)
    model = build_model(load_config(str(TOY_CONFIG), TINY_OPTIONS))
    path = tmp_path_factory.mktemp('checkpoint') / 'random.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


@pytest.mark.parametrize(
    ('frames', 'processes'),
    [
        (2, 3),
        *(
            pytest.param(frames, n, marks=SLOW)
            for frames in (1, 2, 3, 5, FRAMES)
            for n in (2, 3)
            if (frames, n) != (2, 3)
        ),
    ],
)
def test_metrics_of_one_process(world, checkpoint, tmp_path, frames, processes):
    """The test tool on sets of several sizes, smaller than the number of processes too."""

    def metrics(count: int) -> dict[str, float]:
        out = tmp_path / f'{count}.json'
        options = TINY_OPTIONS | {
            'data_root': world,
            'test_dataloader.dataset.indices': frames,
            'test_evaluator.thresholds': THRESHOLDS,
        }
        words = ['--work-dir', tmp_path / 'work', '--out', out, '--cfg-options', *as_arguments(options)]
        run_tool_in_team(count, 'tools/test.py', TOY_CONFIG, checkpoint, *words)
        return {name: value for name, value in json.loads(out.read_text()).items() if '/IoU@' in name}

    alone = metrics(1)
    assert any(alone.values()) and metrics(processes) == alone


#: Shares of hidden pixels for each frame of each accumulated batch; ``None``: random.
STEPS: dict[str, tuple[int, list[list[float | None]]]] = {
    '2 x batch 2': (2, [[None] * 4]),
    'one process without a visible pixel': (2, [[None, 1.0, None, 1.0]]),
    'two accumulated batches': (2, [[None] * 4, [None] * 4]),
    '3 x batch 2': (3, [[None] * 6]),
    'no visible pixel': (2, [[1.0] * 4]),
}
SHORT = ('one process without a visible pixel', 'two accumulated batches')


@pytest.mark.parametrize(
    ('name', 'seeds'), [*((name, 1) for name in SHORT), *(pytest.param(name, 5, marks=SLOW) for name in STEPS)]
)
def test_step_of_one_process(name, seeds):
    processes, hidden = STEPS[name]
    for seed in range(seeds):
        assert compare(processes, seed, fill_in(hidden, seed)), seed


def fill_in(hidden: Sequence[Sequence[float | None]], seed: int) -> list[list[float]]:
    """Random shares for those left open: some frames are seen in full, others hardly."""
    generator = random.Random(seed)
    return [[generator.random() ** 0.3 if share is None else share for share in batch] for batch in hidden]


def test_step_of_local_means_is_found():
    """Each process's mean over its own pixels, averaged: the loss without the global count."""
    hidden = [[0.1, 0.95]]
    (alone,) = run_team(1, one_step, 0, hidden)
    halves = [run_team(1, one_step, 0, [shares])[0] for shares in ([0.1, 1.0], [1.0, 0.95])]
    averaged = Step((halves[0].gradients + halves[1].gradients) / 2, (halves[0].loss + halves[1].loss) / 2)
    assert same_step([alone, alone], alone)
    assert not same_step([averaged, averaged], alone)


@pytest.mark.parametrize(
    ('gradients', 'loss', 'same'),
    [
        ([0.5, -0.1], 2.0, True),
        ([0.5 + 0.4 * TOLERANCE, -0.1], 2.0, True),
        ([0.5 + 0.6 * TOLERANCE, -0.1], 2.0, False),  # the largest of all is one half
        ([0.5, -0.1], 2.0001, False),
        ([0.5, np.nan], 2.0, False),
    ],
)
def test_tolerance(gradients, loss, same):
    expected = Step(np.array([0.5, -0.1]), 2.0)
    assert same_step([expected, Step(np.array(gradients), loss)], expected) is same


class Death:
    """How a run is hit, and the cause that its last lines must name."""

    def __init__(
        self, processes: int, until: str, hit: Callable[[psutil.Process, Path], object], cause: str, within: float = 3.0
    ) -> None:
        self.processes, self.until, self.hit, self.cause, self.within = processes, until, hit, cause, within


def kill_any(run: psutil.Process, world: Path) -> None:
    random.choice(ranks(run)).kill()


def damage(split: str) -> Callable[[psutil.Process, Path], object]:
    """Cuts an image of a split in half."""

    def hit(run: psutil.Process, world: Path) -> None:
        path = first_image(world, split)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return hit


def first_image(world: Path, split: str) -> Path:
    infos = json.loads((world / f'cvt_io_infos_{split}.json').read_text())
    return world / infos['data_list'][0]['images'][0]['path']


KILLED, WORKER, IMAGE = r'Signal 9 \(SIGKILL\)', r'data worker \d+ was killed by the system', r'CAM_\w+.*\.jpg'
DEATHS = {
    'killed in training': Death(2, IN_TRAINING, kill_any, KILLED),
    'one of three': Death(3, IN_TRAINING, kill_any, KILLED),
    'killed in validation': Death(2, IN_VALIDATION, kill_any, KILLED, within=0.3),
    'hangs': Death(2, IN_TRAINING, lambda run, _: ranks(run)[1].suspend(), 'does not answer'),
    'damaged image': Death(2, IN_TRAINING, damage('train'), IMAGE),
    'damaged image in validation': Death(2, IN_TRAINING, damage('val'), IMAGE),
    'launcher terminated': Death(2, IN_TRAINING, lambda run, _: run.terminate(), 'got signal: 15'),
    'data worker killed': Death(1, IN_TRAINING, lambda run, _: data_workers(run)[0].kill(), WORKER),
    'data worker of two processes killed': Death(
        2, IN_TRAINING, lambda run, _: data_workers(ranks(run)[1])[0].kill(), WORKER
    ),
}


@pytest.mark.parametrize(
    'name', ['killed in training', *(pytest.param(name, marks=SLOW) for name in DEATHS if name != 'killed in training')]
)
def test_all_end_and_name_the_cause(name, tmp_path):
    death, world = DEATHS[name], make_world(tmp_path / 'data', frames=2)
    options = TINY_OPTIONS | {
        'data_root': world,
        'train_cfg.max_iters': 2000,
        'train_cfg.val_interval': 20,
        'param_scheduler.total_steps': 2001,
        'default_hooks.checkpoint.interval': 20,
        'train_dataloader.batch_size': 1,
        'train_dataloader.num_workers': 1,
        'val_dataloader.num_workers': 1,
        'val_dataloader.batch_size': 1,
        'env_cfg.dist_cfg.timeout': 10 if name == 'hangs' else 300,  # on a busy machine, 10 s of silence are normal
    }
    launch = [sys.executable, REPO / 'tools/train.py', TOY_CONFIG]
    if death.processes > 1:
        launch = ['bash', REPO / 'tools/dist_train.sh', TOY_CONFIG, death.processes]
    command = [*launch, '--work-dir', tmp_path / 'run', '--cfg-options', *as_arguments(options)]
    delay = death.within * random.random()
    ending = run_and_hit(command, tmp_path / 'log', death.until, lambda run: death.hit(run, world), delay)
    assert ending.as_promised(death.cause), (ending.returncode, ending.seconds, ending.left, ending.output[-2000:])


SUMMARY = """[rank 0] error: connection closed
Failures:
[1]:
  traceback : error: connection closed
Root Cause (first observed failure):
[0]:
  traceback : Signal 9 (SIGKILL) received by PID 7
====
"""


@pytest.mark.parametrize(
    'ending',
    [
        Ending(0, 1.0, SUMMARY, 0),
        Ending(1, DEADLINE + 1, SUMMARY, 0),
        Ending(1, 1.0, SUMMARY, 1),
        Ending(1, 1.0, SUMMARY.replace('SIGKILL', 'SIGSEGV'), 0),
    ],
)
def test_other_endings_are_found(ending):
    assert Ending(1, 1.0, SUMMARY, 0).as_promised('SIGKILL')
    assert not ending.as_promised('SIGKILL')


def test_summary_is_the_root_cause_or_the_last_line():
    assert re.search('SIGKILL', summary(SUMMARY)) and 'connection closed' not in summary(SUMMARY)
    assert summary('Traceback\n…\nerror: no data\n') == 'error: no data'


def test_process_left_behind_is_found(tmp_path, monkeypatch):
    """A parent that is killed leaves its child, which sleeps on."""
    script = 'import os, time; pid = os.fork(); print("here", flush=True); time.sleep(20 if pid else 3600)'
    hit: list[psutil.Process] = []

    def kill(launcher: psutil.Process) -> None:
        hit.extend(data_workers(launcher))
        launcher.kill()

    monkeypatch.setattr(launched, 'SECONDS_TO_LEAVE', 0.5)
    ending = run_and_hit([sys.executable, '-c', script], tmp_path / 'log', 'here', kill)
    hit[0].kill()
    assert (ending.returncode, ending.left, len(hit)) == (-9, 1, 1)


def test_error_of_a_tool_in_a_team_is_raised():
    with pytest.raises(RuntimeError, match=r'none\.py: no such config'):
        run_tool_in_team(1, 'tools/test.py', 'none.py', 'none.pth')
