"""The short form, and that the harness notices a detector that fails and a run that ends badly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.engine.hooks.health import HealthDetector, Thresholds
from projects.CVT_IO.torture import health


def test_short_form(tmp_path):
    outcomes = list(health.run(tmp_path, full=False))
    assert [outcome for outcome in outcomes if not outcome.passed] == []
    assert len(outcomes) == 5 and outcomes[0].tried == 20


def test_a_blind_detector_is_noticed():
    def blind(steps: int) -> HealthDetector:
        return HealthDetector(steps, Thresholds(loss_jump=10.0, fallen=0.0, learnt=0.0))

    assert health.judge_logs(blind).survived == 15  # five of twenty verdicts are alarms
    *_, jumps = health.judge_curves(3, 2000, blind)
    assert jumps.survived == 0


def test_a_nervous_detector_is_noticed():
    def nervous(steps: int) -> HealthDetector:
        return HealthDetector(steps, Thresholds(loss_jump=0.05, noise=0.1))

    assert not health.judge_logs(nervous).passed
    healthy, *_ = health.judge_curves(3, 2000, nervous)
    assert not healthy.passed


@pytest.mark.parametrize(
    ('action', 'code', 'losses', 'alarms', 'errors', 'good'),
    [
        ('roll_back', 0, [0.1, 0.03], 1, '', True),
        ('roll_back', 0, [0.1, 0.09], 1, '', False),  # it did not learn
        ('roll_back', 0, [0.1], 1, '', False),  # it did not finish
        ('roll_back', 1, [0.1, 0.03], 1, '', False),
        ('roll_back', 0, [0.1, 0.03], 0, '', False),  # nothing was seen
        ('stop', 1, [0.1], 1, 'error: step 5: …', True),
        ('stop', 0, [0.1], 1, 'error: step 5: …', False),
        ('stop', 1, [0.1], 1, 'Traceback', False),
        ('go_on', 0, [0.1, 5.0], 1, '', True),
    ],
)
def test_runs_that_end_badly_are_noticed(tmp_path: Path, action, code, losses, alarms, errors, good):
    log = tmp_path / 'start/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(''.join(json.dumps(dict(step=5 * i, loss=loss)) + '\n' for i, loss in enumerate(losses, 1)))
    entries = [dict(step=5, rule='parameters', action=action)] * alarms
    (tmp_path / 'health.json').write_text(json.dumps(dict(alarms=entries)))
    assert health.judge_live(tmp_path, action, 10, code, errors).passed is good
