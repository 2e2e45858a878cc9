"""The notes' figures are all there."""

from __future__ import annotations

import pytest

from projects.CVT_IO.cvt_io.analysis.notes import NotesRow, notes_table, training_curves, validation_curves

LOGGED = [
    f'cvt_io_{name}' for name in ['v1_1', 'v2_1', 'v2_2', 'v2_3', 'v2_4', 'v2_5', 'v2_6', 'v2_6_rerun', 'v2_7', 'v2_8']
]


def test_table():
    table = notes_table()
    assert [*table] == ['cvt', 'cvt_io_v1_1', *(f'cvt_io_v2_{i}' for i in range(1, 10))]
    assert table['cvt'] == NotesRow(0.36, 670.32, 6.934, 46.67)
    assert table['cvt_io_v2_2'] == NotesRow(0.328, 936.94, 6.81, 33.08)
    assert table['cvt_io_v2_6'] == NotesRow(None, None, None, 34.12)
    assert table['cvt_io_v2_9'] == NotesRow(None, None, None, None)


def test_curves_are_complete_and_ascend():
    # Lines of the two files, counted with `cut -d, -f1 FILE | sort | uniq -c`.
    validations, trainings = validation_curves(), training_curves()
    assert [*validations] == [*trainings] == LOGGED
    assert [len(curve) for curve in validations.values()] == [25, 71, 71, 71, 65, 71, 24, 47, 71, 71]
    assert [len(curve) for curve in trainings.values()] == [72, 200, 200, 200, 184, 200, 70, 130, 200, 200]
    for curve in (*validations.values(), *trainings.values()):
        steps = [point.step for point in curve]
        assert steps == sorted(set(steps))


def test_best_ious():
    best = {'v1_1': 0.342, 'v2_1': 0.344, 'v2_2': 0.321, 'v2_3': 0.268, 'v2_4': 0.287, 'v2_5': 0.253}
    best |= {'v2_6': 0.229, 'v2_6_rerun': 0.0, 'v2_7': 0.288, 'v2_8': 0.273}  # the rerun never rises
    found = {name: max(point.iou_050 for point in curve) for name, curve in validation_curves().items()}
    assert found == pytest.approx({f'cvt_io_{name}': iou for name, iou in best.items()}, abs=5e-4)


def test_columns():
    # The first line of v1_1, and the one of v2_3 before its collapse, as they stand in the file.
    first = validation_curves()['cvt_io_v1_1'][0]
    assert (first.step, first.iou_050, first.iou_040) == (1059, 0.28782, 0.33502)
    assert (first.iou_050_all_pixels, first.iou_040_all_pixels, first.val_loss) == (0.23372, 0.29989, 0.012105)
    (before, after) = [point for point in validation_curves()['cvt_io_v2_3'] if point.step in (33767, 35174)]
    assert before.iou_050 == 0.24480 and after.iou_050 == 0
    loss = training_curves()['cvt_io_v2_1'][0]
    assert (loss.step, loss.mean_loss, loss.max_loss) == (499, 0.029897, 0.038465)
