"""Times of steps, by hand."""

from __future__ import annotations

import pytest

from projects.CVT_IO.cvt_io.analysis.logs import read_run
from projects.CVT_IO.cvt_io.analysis.train_time import Stretch, train_time
from projects.CVT_IO.cvt_io.errors import DataError
from tests.analysis.run_logs import training_row, validation_row, write_log


@pytest.fixture
def run(tmp_path):
    """Rows of 50 steps; the first of each start is slow."""
    times = {50: 3.0, 100: 0.2, 150: 0.4}
    write_log(tmp_path, [*(training_row(s, time=t) for s, t in times.items()), validation_row(150, 0.1)], '20260101_1')
    times = {200: 2.0, 250: 0.6}
    write_log(tmp_path, [training_row(step, time=time) for step, time in times.items()], '20260102_1')
    return read_run(tmp_path)


def test_first_rows_of_starts_are_left_out(run):
    time = train_time(run)
    # 0.2, 0.4 and 0.6 remain: mean and median 0.4, variance (0.04 + 0 + 0.04) / 3.
    assert (time.mean, time.median) == (pytest.approx(0.4), 0.4)
    assert time.std == pytest.approx((0.08 / 3) ** 0.5)
    assert time.slowest == Stretch(201, 250, 0.6) and time.fastest == Stretch(51, 100, 0.2)
    # All rows count in the total: 50 · (3 + 0.2 + 0.4 + 2 + 0.6).
    assert (time.total, time.first, time.last) == (pytest.approx(310), 1, 250)


def test_outliers_are_included_on_demand(run):
    time = train_time(run, include_outliers=True)
    assert time.mean == pytest.approx(6.2 / 5) and time.median == 0.6
    assert time.slowest == Stretch(1, 50, 3.0)


def test_log_of_a_resumed_start_alone(tmp_path):
    # The first row stands for as many steps as the next, not for all the 1,000 before it.
    log = write_log(tmp_path, [training_row(1050, time=1.0), training_row(1100, time=1.0)])
    time = train_time(read_run(log))
    assert (time.total, time.first) == (100, 1001)


def test_nothing_to_measure(tmp_path):
    log = write_log(tmp_path, [training_row(50)])
    with pytest.raises(DataError, match='only first rows of a start'):
        train_time(read_run(log))
    assert train_time(read_run(log), include_outliers=True).mean == 0.5
    log.write_text('{"vehicle/IoU@0.50": 0.1, "time": 1.0, "step": 5}\n')
    with pytest.raises(DataError, match='expected training rows'):
        train_time(read_run(log))
