"""The watch of a long run: its short form passes, and what it is there to see it does see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from projects.CVT_IO.torture import soak
from projects.CVT_IO.torture.soak import Sample


def samples(memory=lambda step: 600.0, files=lambda step: 40, zombies=lambda step: frozenset()) -> list[Sample]:
    """A run of 2,000 steps, looked at every 10, and a last look after it."""
    steps = range(0, 2001, 10)
    alive = [Sample(step, memory(step), files(step), frozenset({1, 2}), zombies(step)) for step in steps]
    return [*alive, Sample(2000, 0.0, 0, frozenset(), frozenset())]


def failures(run: list[Sample], returncode: int = 0) -> list[str]:
    return [outcome.what for outcome in soak.judge(run, 2000, returncode, strict=True) if not outcome.passed]


def test_short_form(tmp_path):
    outcomes = list(soak.run(tmp_path, full=False))
    assert len(outcomes) == 5
    assert all(outcome.passed for outcome in outcomes), (outcomes, (tmp_path / 'output.txt').read_text()[-2000:])


def test_steady_run_passes():
    assert failures(samples()) == []


def test_warm_up_and_validation_bumps_are_no_leak():
    run = samples(memory=lambda step: 600 + min(step, 500) / 10 + (200 if step % 100 == 0 else 0))
    assert failures(run) == []


@pytest.mark.parametrize(
    ('run', 'what'),
    [
        (samples(memory=lambda step: 600 + 0.006 * step), 'memory flat'),  # 6 MiB a thousand steps
        (samples(files=lambda step: 40 + step // 500), 'open files flat'),  # one a validation
        (
            samples(zombies=lambda step: frozenset({2} if step > 1000 else ())),
            'looks without a zombie',
        ),
    ],
)
def test_what_grows_or_stays_fails(run, what):
    assert failures(run) == [what]


def test_a_process_about_to_be_waited_for_is_no_zombie():
    run = samples(zombies=lambda step: frozenset({step} if step % 100 == 0 else ()))
    assert failures(run) == []


def test_a_process_left_behind_fails():
    run = samples()
    run[-1] = Sample(2000, 5.0, 3, frozenset({2}), frozenset())
    assert failures(run) == ['processes gone at the end']


def test_a_run_that_fails_in_the_end_fails():
    assert failures(samples(), returncode=1) == ['steps of a run with validation and checkpoints']


def test_watch_sees_children_that_outlive_the_run(tmp_path):
    script = 'import subprocess, time; subprocess.Popen(["sleep", "60"]); time.sleep(1.5)'
    *alive, after = soak.watch(subprocess.Popen([sys.executable, '-c', script]), tmp_path)
    left = after.processes
    for pid in left:
        subprocess.run(['kill', str(pid)], check=True)
    assert len(left) == 1
    assert max(sample.files for sample in alive) > 0


def test_last_step_of_a_log_that_is_being_written(tmp_path: Path):
    folder = tmp_path / '20260101_000000/vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('{"step": 10}\n{"step": 20}\n{"st')
    assert soak._last_step(tmp_path) == 20
    assert soak._last_step(tmp_path / 'elsewhere') == 0
