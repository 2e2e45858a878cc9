"""Verdicts and numbers of a run beside the notes' runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from projects.CVT_IO.cvt_io.analysis import curve_report
from projects.CVT_IO.cvt_io.analysis.curves import Collapse, Comparison, Curve, Verdict, compare
from projects.CVT_IO.cvt_io.analysis.logs import read_run
from projects.CVT_IO.cvt_io.errors import DataError
from tests.analysis.run_logs import notes_rows, scaled_steps, training_row, validation_row, write_log

EPOCH = 1407  # optimizer steps between the notes' validations


@pytest.fixture
def against(tmp_path: Path):
    """Function: rows of a log, name of a run of the notes → comparison."""

    def compared(rows: list[dict], name: str, samples_per_step: int | None = None) -> Comparison:
        return compare(read_run(write_log(tmp_path, rows)), name, samples_per_step)

    return compared


@pytest.mark.parametrize('name', ['cvt_io_v2_1', 'cvt_io_v2_2', 'cvt_io_v2_4', 'cvt_io_v2_7'])
def test_the_notes_are_level_with_themselves(against, name):
    result = against(notes_rows(name), name)
    assert result.verdict is Verdict.LEVEL
    assert result.run_iou == result.notes_iou
    _, ours, theirs = result.training_losses()
    np.testing.assert_allclose(ours, theirs)


@pytest.mark.parametrize(
    ('shift', 'verdict'),
    [(0.021, Verdict.AHEAD), (0.019, Verdict.LEVEL), (-0.019, Verdict.LEVEL), (-0.021, Verdict.BEHIND)],
)
def test_tolerance_is_two_points(against, shift, verdict):
    result = against(notes_rows('cvt_io_v2_2', until=50_000, shift=shift), 'cvt_io_v2_2')
    assert result.verdict is verdict and result.step == 35 * EPOCH
    assert result.run_iou - result.notes_iou == pytest.approx(shift)


def test_one_stray_validation_does_not_decide(against):
    rows = notes_rows('cvt_io_v2_2', until=50_000)
    rows = [
        row | {'vehicle/IoU@0.50': row['vehicle/IoU@0.50'] + 0.09} if row['step'] == 35 * EPOCH else row for row in rows
    ]
    # A fifth of 0.09 is within the tolerance.
    assert against(rows, 'cvt_io_v2_2').verdict is Verdict.LEVEL


def test_collapse_of_the_notes_is_told_once_it_has_happened(against, tmp_path):
    result, collapse = against(notes_rows('cvt_io_v2_1', until=50_000), 'cvt_io_v2_3'), Collapse(33_768, 35_175)
    assert result.verdict is Verdict.AHEAD and result.notes_collapse == collapse
    assert 'cvt_io_v2_3 itself had collapsed between steps 33,768 and 35,175' in curve_report.remarks(result)
    log = write_log(tmp_path / 'before', notes_rows('cvt_io_v2_1', until=34_000))
    result = compare(read_run(log), 'cvt_io_v2_3')
    assert result.notes_collapse is None and result.notes.collapse == collapse


def validated(*ious: float) -> list[dict]:
    """A log with these IoUs after each epoch."""
    return [training_row(EPOCH)] + [validation_row(i * EPOCH, iou) for i, iou in enumerate(ious, 1)]


def with_losses(*losses: float) -> list[dict]:
    return [training_row(50 * i, loss=loss) for i, loss in enumerate(losses, 1)]


#: The notes' v2_3 up to step 36,000 without its validations after 33,768: the loss goes from 0.009 to 0.022.
JUMP = [row for row in notes_rows('cvt_io_v2_3', until=36_500) if 'loss' in row or row['step'] <= 33_768]


@pytest.mark.parametrize(
    ('rows', 'collapse'),
    [
        (notes_rows('cvt_io_v2_3'), Collapse(24 * EPOCH, 25 * EPOCH)),
        (notes_rows('cvt_io_v2_6'), Collapse(26_733, 28_140)),
        (validated(0.2, 0, 0.2), None),  # it recovered
        (validated(0.2, 0.004, 0.006, 0.004), Collapse(EPOCH, 2 * EPOCH)),  # not quite zero but far from alive
        (validated(0.25, 0.02), Collapse(EPOCH, 2 * EPOCH)),  # less than a tenth
        (validated(0.25, 0.03), None),
        (with_losses(0.02, 0.02, math.nan, math.inf), Collapse(100, 150)),
        (with_losses(0.02, math.nan, 0.02), None),
        (JUMP, Collapse(35_500, 36_000)),
        ([*JUMP, validation_row(36_500, 0.25)], None),  # a validation says otherwise
    ],
)
def test_collapse(against, rows, collapse):
    result = against(rows, 'cvt_io_v2_1')
    assert result.run.collapse == collapse and (result.verdict is Verdict.COLLAPSED) == (collapse is not None)
    if collapse:
        expected = f'collapsed between steps {collapse.after:,} and {collapse.by:,}'
        assert curve_report.headline(result) == expected


def test_loss_that_was_never_finite(against):
    result = against([training_row(50, loss=math.nan)], 'cvt_io_v2_1')
    assert curve_report.headline(result) == 'collapsed by step 50'


def test_not_learning(against):
    assert against(notes_rows('cvt_io_v2_6_rerun'), 'cvt_io_v2_1').verdict is Verdict.NOT_LEARNING


@pytest.mark.parametrize(
    # At 2,990 steps the notes' run was at zero itself; at 11,432 it had 0.15, and until 13,000 a run may start slowly.
    ('until', 'verdict'),
    [(3000, Verdict.LEVEL), (11_500, Verdict.BEHIND), (14_500, Verdict.NOT_LEARNING)],
)
def test_slow_start_is_given_time(against, until, verdict):
    assert against(notes_rows('cvt_io_v2_6_rerun', until=until), 'cvt_io_v2_2').verdict is verdict


@pytest.mark.parametrize('rows', [[training_row(50)], [training_row(50), validation_row(1000, 0.0)]])
def test_undecided_without_a_common_validation(against, rows):
    result = against(rows, 'cvt_io_v2_1')
    assert result.verdict is Verdict.UNDECIDED and result.step is None and math.isnan(result.run_iou)


def test_beyond_the_notes_nothing_is_compared(against):
    rows = notes_rows('cvt_io_v2_1')
    rows.append(validation_row(80 * EPOCH, 0.9))
    result = against(rows, 'cvt_io_v2_1')
    assert result.window == (67 * EPOCH, 71 * EPOCH)  # the 71st validation is the last; five count
    assert result.step == 71 * EPOCH and result.run_iou == result.notes_iou
    assert curve_report.validation_rows(result)[-1]['step'] == 71 * EPOCH


def test_interpolation():
    curve = Curve(np.array([10, 20]), np.array([0.1, 0.3]))
    # A quarter of the way from 0.1 to 0.3 is 0.15.
    np.testing.assert_allclose(curve.at(np.array([9, 10, 12.5, 20, 21])), [np.nan, 0.1, 0.15, 0.3, np.nan])


def test_training_losses_are_means_of_500_steps(against):
    rows = [training_row(step, loss=step / 50) for step in range(50, 851, 50)]
    steps, ours, theirs = against(rows, 'cvt_io_v2_1').training_losses()
    # 1 to 10 up to step 500, 11 to 17 up to step 850; the notes' figures as in their file.
    assert (steps.tolist(), ours.tolist(), theirs.tolist()) == ([500, 1000], [5.5, 14.0], [0.029897, 0.021285])


def test_other_batches_are_compared_by_samples(against):
    rows = scaled_steps(notes_rows('cvt_io_v2_2', until=50_000), 2.5)
    result = against(rows, 'cvt_io_v2_2', samples_per_step=8)
    assert result.verdict is Verdict.LEVEL and result.step == 35 * EPOCH
    assert result.run_iou == pytest.approx(result.notes_iou)


def test_batch_is_taken_from_the_config_beside_the_log(tmp_path):
    log = write_log(tmp_path, scaled_steps(notes_rows('cvt_io_v2_2', until=50_000), 2.5))
    assert compare(read_run(log), 'cvt_io_v2_2').samples_assumed
    Config(dict(train_cfg=dict(type='CVTIOTrainLoop', base_batch_size=8))).dump(log.with_name('config.py'))
    result = compare(read_run(log), 'cvt_io_v2_2')
    assert (result.samples_per_step, result.samples_assumed, result.step) == (8, False, 35 * EPOCH)
    # What the caller says counts more.
    assert compare(read_run(log), 'cvt_io_v2_2', samples_per_step=16).samples_per_step == 16


def test_unknown_run_and_missing_keys(against, tmp_path):
    with pytest.raises(DataError, match=r'cvt: expected a run that the notes logged, one of cvt_io_v1_1, '):
        against([training_row(50)], 'cvt')
    log = write_log(tmp_path, [{'road/IoU@0.50': 0.5, 'step': EPOCH}], '20260102_120000')
    with pytest.raises(DataError, match=r"no key 'vehicle/IoU@0\.50', expected one of road/IoU@0\.50"):
        compare(read_run(log), 'cvt_io_v2_1')


def test_data_are_valid_json(against):
    rows = [training_row(500, loss=math.nan), {'vehicle/IoU@0.50': 0.1, 'step': EPOCH}]
    data = json.loads(json.dumps(curve_report.as_data(against(rows, 'cvt_io_v2_1')), allow_nan=False))
    assert data['verdict'] == 'collapsed' and data['run_collapse'] == {'after': 0, 'by': 500}
    assert data['training'] == [{'step': 500, 'run_loss': None, 'notes_loss': 0.029897}]
    # The first validation of v2_1 in the notes' file: zero at 0.50, 0.00000 or more at 0.40; ours did not log that.
    (row,) = data['validation']
    assert (row['step'], row['run_iou_050'], row['notes_iou_050'], row['run_iou_040']) == (EPOCH, 0.1, 0.0, None)


def test_table_shows_the_latest(against):
    text = curve_report.table(against(notes_rows('cvt_io_v2_1'), 'cvt_io_v2_1'))
    lines = text.splitlines()
    assert lines[0] == 'Last 12 of 71 common validations' and 'Last 12 of 200 common training losses' in lines
    assert lines[1].split() == ['step', 'run_iou_050', 'notes_iou_050', 'run_iou_040', 'notes_iou_040']
    assert lines[13].split()[:3] == ['99,897', '0.3388', '0.3388']


def test_caveats(against):
    remarks = curve_report.remarks(against(notes_rows('cvt_io_v2_1', until=20_000), 'cvt_io_v1_1'))
    assert any('begins from an earlier checkpoint' in line for line in remarks)
