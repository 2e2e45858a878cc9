"""The trials with several processes: their short form passes, and they see what they are there to see."""

from __future__ import annotations

import sys

import numpy as np
import psutil
import pytest

from projects.CVT_IO.torture import processes
from projects.CVT_IO.torture.gradients import (
    TOLERANCE,
    Step,
    one_step,
    same_step,
)
from projects.CVT_IO.torture.launched import (
    DEADLINE,
    Ending,
    data_workers,
    run_and_hit,
    summary,
)
from projects.CVT_IO.torture.team import run_team, run_tool_in_team

SUMMARY = """[rank 0] error: connection closed
Failures:
[1]:
  traceback : error: connection closed
Root Cause (first observed failure):
[0]:
  traceback : Signal 9 (SIGKILL) received by PID 7
====
"""


def test_short_form(tmp_path):
    outcomes = list(processes.run(tmp_path, full=False))
    assert len(outcomes) == 4
    assert all(outcome.passed for outcome in outcomes), outcomes


def test_a_step_of_local_means_is_seen():
    """Each process's mean of its own pixels, averaged: what the loss would be without the global count."""
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


@pytest.mark.parametrize(
    'ending',
    [
        Ending(0, 1.0, SUMMARY, 0),
        Ending(1, DEADLINE + 1, SUMMARY, 0),
        Ending(1, 1.0, SUMMARY, 1),
        Ending(1, 1.0, SUMMARY.replace('SIGKILL', 'SIGSEGV'), 0),
    ],
)
def test_an_end_that_was_not_promised(ending):
    assert Ending(1, 1.0, SUMMARY, 0).as_promised('SIGKILL')
    assert not ending.as_promised('SIGKILL')


def test_summary_is_the_root_cause_or_the_last_line():
    assert 'connection closed' not in summary(SUMMARY) and 'SIGKILL' in summary(SUMMARY)
    assert summary('Traceback\n…\nerror: no data\n') == 'error: no data'


def test_a_process_left_behind_is_seen(tmp_path):
    """A parent that is killed leaves its child, which sleeps on."""
    script = 'import os, time; pid = os.fork(); print("here", flush=True); time.sleep(20 if pid else 3600)'
    hit = []

    def kill(launcher: psutil.Process) -> None:
        hit.extend(data_workers(launcher))
        launcher.kill()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('projects.CVT_IO.torture.launched.SECONDS_TO_LEAVE', 0.5)
        ending = run_and_hit([sys.executable, '-c', script], tmp_path / 'log', 'here', kill)
    hit[0].kill()
    assert (ending.returncode, ending.left, len(hit)) == (-9, 1, 1)


def test_a_command_that_ends_before_it_is_hit(tmp_path):
    with pytest.raises(RuntimeError, match='did not come so far'):
        run_and_hit([sys.executable, '-c', 'print("early")'], tmp_path / 'log', 'late', lambda _: None)


def test_an_error_of_a_tool_in_a_team_is_raised():
    with pytest.raises(RuntimeError, match=r'none\.py: no such config'):
        run_tool_in_team(1, 'tools/test.py', 'none.py', 'none.pth')
