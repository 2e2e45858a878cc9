"""The detector on the notes' own runs and on curves with known faults."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from itertools import pairwise, product

import pytest

from projects.CVT_IO.cvt_io.analysis.notes import training_curves, validation_curves
from projects.CVT_IO.cvt_io.engine.hooks.health import HealthDetector, Rule, Thresholds

STEPS = 100_000
HEALTHY = [f'cvt_io_{name}' for name in ('v1_1', 'v2_1', 'v2_2', 'v2_4', 'v2_5', 'v2_7', 'v2_8')]
#: Steps of the training row in which the mean loss leaves its level, read off the file: 0.0081 → 0.0149 and 0.0097 →
#: 0.0248.
JUMPS = {'cvt_io_v2_3': 34_999, 'cvt_io_v2_6': 28_499}
FLOATS = [field.name for field in fields(Thresholds) if isinstance(field.default, float)]


Row = tuple[int, float]


def healthy_loss(steps: int, sigma: float, seed: int, every: int = 1) -> Iterator[Row]:
    """A falling loss with log-normal noise on each row."""
    draw = random.Random(seed)
    for step in range(every, steps + 1, every):
        yield step, 0.03 * (0.2 + 0.8 * math.exp(-6 * step / steps)) * math.exp(draw.gauss(0, sigma))


def changed(rows: Iterable[Row], factor: Callable[[int], float]) -> Iterator[Row]:
    """The same rows, multiplied by a function of the step."""
    return ((step, value * factor(step)) for step, value in rows)


def alarms(
    rows: Iterable[Row], max_iters: int, column: str = 'loss', thresholds: Thresholds | None = None
) -> list[tuple[str, int]]:
    """Rules that opened, and when."""
    detector = HealthDetector(max_iters, thresholds)
    return [(str(alarm.rule), alarm.step) for step, value in rows for alarm in detector.update(step, **{column: value})]


def by_validations(name: str, thresholds: Thresholds) -> list[tuple[str, int]]:
    rows = [(point.step, point.iou_050) for point in validation_curves()[name]]
    return alarms(rows, STEPS, 'iou', thresholds)


def by_losses(name: str, thresholds: Thresholds) -> list[tuple[str, int]]:
    rows = [(point.step, point.mean_loss) for point in training_curves()[name]]
    return alarms(rows, STEPS, 'loss', thresholds)


@pytest.mark.parametrize(
    ('factor', 'names'),
    [(1, ()), *product([1 / 1.5, 1 / 1.25, 1.25, 1.5], [*((name,) for name in FLOATS), ()])],
    ids=lambda value: '' if isinstance(value, float | int) else ''.join(value) or 'all',
)
def test_the_notes_runs(factor, names):
    """No threshold is at a knife's edge: any of them, or all, may be half as large again or two thirds."""
    thresholds = Thresholds().scaled(factor, *names)
    assert by_validations('cvt_io_v2_3', thresholds) == [('IoU fell', 35_174)]
    assert by_validations('cvt_io_v2_6', thresholds) == [('IoU fell', 28_139)]
    for name, jump in JUMPS.items():
        ((rule, step),) = by_losses(name, thresholds)
        assert rule == 'loss jump' and jump <= step <= jump + 2 * 500  # rows are 500 steps apart
    ((rule, step),) = by_validations('cvt_io_v2_6_rerun', thresholds)
    assert rule == 'never learning' and step <= 20_000
    assert factor != 1 or by_losses('cvt_io_v2_6_rerun', thresholds) == []
    for name in HEALTHY:
        assert by_validations(name, thresholds) == by_losses(name, thresholds) == []


@pytest.mark.parametrize('steps', [300, 2000, 10_000])
@pytest.mark.parametrize('sigma', [0.1, 0.3, 0.6, 1.0])
@pytest.mark.parametrize('seeds', [2, pytest.param(100, marks=pytest.mark.slow)])
def test_noise_alone_raises_no_alarm(steps, sigma, seeds):
    assert not any(alarms(healthy_loss(steps, sigma, seed), steps) for seed in range(seeds))


@pytest.mark.parametrize(('steps', 'sigma', 'ratio'), [(300, 0.1, 5), (2000, 0.3, 2.7), (10_000, 0.6, 2.7)])
@pytest.mark.parametrize('seeds', [2, pytest.param(100, marks=pytest.mark.slow)])
def test_jump_that_stays_is_found_soon(steps, sigma, ratio, seeds):
    """Twice the block of 0.4 % of the run (or 10 steps), and one block more as the jump is somewhere in the first."""
    at, soon = round(0.6 * steps), 3 * max(0.004 * steps, 10)
    for seed in range(seeds):
        found = alarms(changed(healthy_loss(steps, sigma, seed), lambda step: ratio if step > at else 1), steps)
        assert found and found[0][0] == 'loss jump' and at < found[0][1] <= at + 2 * soon


@pytest.mark.parametrize('length', [1, 10, 30, 40])
def test_spike_that_passes_raises_no_alarm(length):
    """Of 10,000 steps the block is 40: a spike of 8 times the loss may straddle two of them."""
    for at in range(6000, 6040, 5):
        rows = changed(healthy_loss(10_000, 0.3, at), lambda step, at=at: 8 if at <= step < at + length else 1)
        assert alarms(rows, 10_000) == []


def test_one_high_row_of_a_log_raises_no_alarm():
    rows = changed(healthy_loss(STEPS, 0.15, 0, every=500), lambda step: 8 if step == 60_000 else 1)
    assert alarms(rows, STEPS) == []


@pytest.mark.parametrize('every', [1, 10, 50, 500])
def test_rows_of_any_spacing_tell_the_same(every):
    """Means over the rows of one run: found within 1.5 % of it after the jump, or two rows."""
    rows = [*changed(healthy_loss(50_000, 0.3, 0), lambda step: 2.7 if step > 30_000 else 1)]
    means = [
        (rows[i + every - 1][0], sum(value for _, value in rows[i : i + every]) / every)
        for i in range(0, len(rows), every)
    ]
    ((rule, step),) = alarms(means, 50_000)
    assert rule == 'loss jump' and 30_000 < step <= 30_000 + max(750, 2 * every)


@pytest.mark.parametrize(
    ('factor', 'seeds'),
    [
        (lambda step: 0.5 if step > 7000 else 0.7 if step > 4000 else 1, 1),  # the rate divided by ten twice
        (lambda step: 1.4 if step > 5000 else 1, 1),
        (lambda step: 1 + 4 * step / 10_000, 1),
        (lambda step: 1 + 9 * math.exp(-max(step - 6000, 0) / 20) * (step > 6000), 5),  # a spike that fades
    ],
)
def test_other_changes_raise_no_alarm(factor, seeds):
    for seed in range(seeds):
        assert alarms(changed(healthy_loss(10_000, 0.3, seed), factor), 10_000) == []


def test_focal_losses_near_zero():
    """Batches with and without anything in them differ by a factor of a million."""
    draw = random.Random(0)
    rows = [(step, value * draw.choice([1, 1e-6])) for step, value in healthy_loss(10_000, 0.3, 0)]
    assert alarms(rows, 10_000) == []
    assert alarms([(step, 0.0) for step, _ in rows], 10_000) == []


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('column', ['loss', 'grad_norm'])
def test_not_finite(column, value):
    detector = HealthDetector(1000)
    assert detector.update(1, **{column: 1.0}) == []
    (alarm,) = detector.update(2, **{column: value})
    assert (alarm.rule, alarm.step) == (Rule.NOT_FINITE, 2) and str(value) in alarm.message
    assert detector.update(3, **{column: value}) == [] and detector.open == {Rule.NOT_FINITE}  # said once
    assert detector.update(4, **{column: 1.0}) == [] and not detector.suspicious


def test_infinite_gradients_while_the_loss_scale_is_searched():
    rows = [(step, math.inf if step <= 5 else 1.0) for step in range(1, 100)]
    assert alarms(rows, 1000, 'grad_norm', Thresholds(patience=6)) == []
    assert alarms(rows, 1000, 'grad_norm', Thresholds(patience=5)) == [('not finite', 5)]


def test_iou_that_falls_and_comes_back():
    detector = HealthDetector(STEPS)
    assert not any(detector.update(1000 * i, iou=0.2) for i in range(1, 4))
    assert [alarm.rule for alarm in detector.update(4000, iou=math.nan)] == [Rule.IOU_FELL]
    assert detector.update(5000, iou=0.03) == [] and detector.open  # not yet twice a tenth of 0.2
    assert detector.update(6000, iou=0.05) == [] and not detector.open


@pytest.mark.parametrize('rise', [[0.3], [0.0, 0.3, 0.3], [0.0, 0.1, 0.2, 0.3], [0.05, 0.1, 0.08, 0.15, 0.12, 0.2]])
@pytest.mark.parametrize('end', [0.0, 0.001, math.nan])
def test_iou_falls_after_any_rise(rise, end):
    rows = [(1407 * i, iou) for i, iou in enumerate([*rise, end, end], 1)]
    assert alarms(rows, STEPS, 'iou') == [('IoU fell', 1407 * (len(rise) + 1))]


def test_noisy_start_of_the_iou_is_no_fall():
    """Noise of 0.03 on a slow rise: at the start it is often at zero. Of 50 curves none is called fallen."""

    def curve(seed: int) -> list[tuple[int, float]]:
        draw = random.Random(seed)
        return [(1407 * i, max(0.0, 0.3 * (1 - math.exp(-i / 20)) + draw.gauss(0, 0.03))) for i in range(1, 72)]

    fallen = [seed for seed in range(50) if alarms(curve(seed), STEPS, 'iou')]
    assert len(fallen) <= 1


@pytest.mark.parametrize(
    # 13 % of the run; but 3,000 steps, if that is less than half of it; then half.
    ('steps', 'late'),
    [(100_000, 13_000), (8000, 3000), (1000, 500)],
)
def test_how_late_never_learning_is(steps, late):
    rows = [(step, 0.0) for step in range(steps // 100, steps + 1, steps // 100)]
    ((rule, step),) = alarms(rows, steps, 'iou')
    assert rule == 'never learning' and late <= step < late + steps // 50
    # A blip that does not last is not learning.
    assert [rule for rule, _ in alarms([(1, 0.06), *rows[1:]], steps, 'iou')] == ['never learning']


@pytest.mark.parametrize('iou', [0.0, math.nan])
def test_class_that_stays_at_zero_is_not_suspicious(iou):
    """A rare class, or one that is absent from the validation set: the weights are as good as before."""
    detector = HealthDetector(STEPS)
    found = [alarm.rule for step in range(1407, STEPS, 1407) for alarm in detector.update(step, iou=iou)]
    assert found == [Rule.NEVER_LEARNING] and not detector.suspicious


def test_smoke_runs_are_not_judged_by_their_iou():
    assert alarms([(2, 0.0), (4, 0.0)], 4, 'iou') == []
    assert alarms([(step, 0.0) for step in range(1, 81)], 80, 'iou') == []


def test_state_is_small_plain_and_enough():
    """At any step the state goes through JSON into a new detector, which then says the same."""
    rows = [*changed(healthy_loss(2000, 0.3, 0), lambda step: 2.7 if step > 1200 else 1)]
    whole = alarms(rows, 2000)
    for cut in range(1150, 1260, 7):
        detector, found = HealthDetector(2000), []
        for step, value in rows:
            if step == cut:
                state = json.dumps(detector.state_dict())
                assert len(state) < 4000
                detector = HealthDetector(2000)
                detector.load_state_dict(json.loads(state))
            found += [(str(alarm.rule), alarm.step) for alarm in detector.update(step, loss=value, iou=0.2)]
        assert found == whole


def test_restart_forgets_troubles_and_keeps_levels():
    detector = HealthDetector(2000)
    for step, value in healthy_loss(1000, 0.1, 0):
        detector.update(step, loss=value)
    before = detector.state_dict()
    for step in range(1001, 1040):
        detector.update(step, loss=1.0)
    assert detector.open == {Rule.LOSS_JUMP}
    detector.load_state_dict(before)
    detector.restart(1039)
    assert not detector.suspicious
    again = [alarm for step in range(1040, 1080) for alarm in detector.update(step, loss=1.0)]
    assert [alarm.rule for alarm in again] == [Rule.LOSS_JUMP]


def test_restarted_run_has_time_to_learn_again():
    detector = HealthDetector(STEPS)
    for step in range(1000, 13_000, 1000):
        detector.update(step, iou=0.0)
    detector.restart(12_000)
    found = [alarm.step for step in range(13_000, 30_001, 1000) for alarm in detector.update(step, iou=0.0)]
    assert found == [25_000]


def test_state_of_another_version_and_wrong_arguments():
    with pytest.raises(ValueError, match='expected version 2, found 0'):
        HealthDetector(10).load_state_dict({'version': 0})
    with pytest.raises(ValueError, match='max_iters: expected an integer of at least 1, got 0'):
        HealthDetector(0)


def test_data_of_this_module():
    """The jumps above are where a row is more than 1.5 times the one before, after the first 20 rows."""
    for name, step in JUMPS.items():
        rows = training_curves()[name]
        assert next(b.step for a, b in pairwise(rows[20:]) if b.mean_loss > 1.5 * a.mean_loss) == step
