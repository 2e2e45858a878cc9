"""Logs are read as mmengine writes them: resumed, cut short, with NaN."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from mmengine.config import Config

from projects.CVT_IO.cvt_io.analysis.logs import read_run
from projects.CVT_IO.cvt_io.errors import DataError
from tests.analysis.run_logs import training_row, validation_row, write_log


def test_training_and_validation_are_kept_apart(tmp_path):
    write_log(tmp_path, [training_row(50, loss=0.3), training_row(100, loss=0.2), validation_row(100, 0.1)])
    run = read_run(tmp_path)
    steps, losses = run.curve('loss')
    assert (steps.tolist(), losses.tolist()) == ([50, 100], [0.3, 0.2])
    # Both kinds of row have `time`; the training's counts.
    assert run.curve('time')[1].tolist() == [0.5, 0.5]
    steps, ious = run.curve('vehicle/IoU@0.50')
    assert (steps.tolist(), ious.tolist()) == ([100], [0.1])
    assert run.starts == [50]


def test_a_file_and_its_folders_tell_the_same(tmp_path):
    log = write_log(tmp_path, [training_row(50), validation_row(50, 0.1)])
    reads = [read_run(path) for path in (tmp_path, log.parents[1], log.parent, log, log.with_name('scalars.json'))]
    log.unlink()
    reads.append(read_run(tmp_path))  # the scalars serve where the named log is gone
    assert [*reads[0].training] == [50]
    assert len({json.dumps([run.training, run.validation]) for run in reads}) == 1


def test_resumed_run_replaces_what_it_repeats(tmp_path):
    first = [training_row(step, loss=1.0) for step in (50, 100, 150, 200)]
    write_log(tmp_path, [*first, validation_row(200, 0.9)], '20260101_120000')
    # Resumed from step 100 and killed at 160: what the first start logged of 150 and 200 is of weights that are gone.
    write_log(tmp_path, [training_row(150, loss=3.0), training_row(150, loss=2.0)], '20260102_090000')  # a step twice
    write_log(tmp_path, [], '20260103_090000')  # a start without rows
    run = read_run(tmp_path)
    steps, losses = run.curve('loss')
    assert (steps.tolist(), losses.tolist()) == ([50, 100, 150], [1.0, 1.0, 2.0])
    assert not run.validation and run.starts == [50, 150]


def test_half_last_line_is_left_out(tmp_path):
    log = write_log(tmp_path, [training_row(50), training_row(100)])
    log.write_text(log.read_text()[:-20])
    assert [*read_run(log).training] == [50]


def test_nan_is_read(tmp_path):
    log = write_log(tmp_path, [training_row(50), training_row(100, loss=math.nan), training_row(150, loss=math.inf)])
    assert 'NaN' in log.read_text() and 'Infinity' in log.read_text()
    np.testing.assert_array_equal(read_run(log).curve('loss')[1], [0.02, np.nan, np.inf])


def test_validations_by_epoch_stand_at_the_step_before(tmp_path):
    rows = [training_row(50, epoch=1), validation_row(1, 0.1), training_row(100, epoch=2), validation_row(2, 0.2)]
    write_log(tmp_path, rows)
    steps, ious = read_run(tmp_path).curve('vehicle/IoU@0.50')
    assert (steps.tolist(), ious.tolist()) == ([50, 100], [0.1, 0.2])


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'expected JSON lines with a step, as mmengine logs them, found none'),
        ('{"loss": 0.1}\n{"loss": 0.2}\n', 'expected JSON lines with a step'),
        ('2026/01/01 12:00:00 - mmengine - INFO - …\n', 'line 1: expected a JSON object'),
        ('[1, 2]\n{"step": 1}\n', r"line 1: expected a JSON object, as mmengine logs them, found '\[1, 2\]'"),
        ('{"loss": 0.1, "st\n{"step": 1}\n', 'line 1: expected a JSON object'),  # half a line that is not the last
        (b'\x80\x02}q\x00.', 'line 1: expected a JSON object'),
    ],
)
def test_files_that_are_no_logs(tmp_path, content, message):
    path = tmp_path / 'some.json'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as error:
        read_run(path)
    assert str(path) in str(error.value)


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(DataError, match=r'nowhere: no such log file or work folder'):
        read_run(tmp_path / 'nowhere')
    with pytest.raises(DataError, match=r'expected logs as <timestamp>/vis_data/<timestamp>\.json below it'):
        read_run(tmp_path)


def test_unknown_key_lists_the_known_ones(tmp_path):
    write_log(tmp_path, [training_row(50), validation_row(50, 0.1)])
    expected = "no key 'mAP', expected one of data_time, loss, lr, time, vehicle/IoU@0.40, vehicle/IoU@0.50$"
    with pytest.raises(DataError, match=expected):
        read_run(tmp_path).curve('mAP')


def test_samples_per_step_is_read_without_executing(tmp_path):
    run = read_run(write_log(tmp_path, [training_row(50)]))
    assert run.samples_per_step() is None
    train_cfg = dict(type='CVTIOTrainLoop', max_iters=9, base_batch_size=16)
    Config(dict(auto_scale_lr=dict(enable=True, base_batch_size=16), train_cfg=train_cfg)).dump(run.config)
    assert run.samples_per_step() is None  # nothing is accumulated then
    Config(dict(work_dir='x', auto_scale_lr=dict(enable=False), train_cfg=train_cfg)).dump(run.config)
    assert run.samples_per_step() == 16
    flag = tmp_path / 'executed'
    run.config.write_text(f"open({str(flag)!r}, 'w')\n" + run.config.read_text())
    assert run.samples_per_step() == 16 and not flag.exists()
    run.config.write_text('train_cfg = dict(max_iters=9)\n')
    assert run.samples_per_step() is None
    run.config.write_text('train_cfg = dict(')
    assert run.samples_per_step() is None
