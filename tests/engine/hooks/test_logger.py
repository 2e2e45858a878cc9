"""Rows that a resumed run logs again are taken out of older logs."""

from __future__ import annotations

import json
from types import SimpleNamespace
from unittest import mock

import pytest
from mmengine.hooks import LoggerHook
from mmengine.logging import MessageHub

from projects.CVT_IO.cvt_io.analysis.logs import read_run
from projects.CVT_IO.cvt_io.engine.hooks import logger
from projects.CVT_IO.cvt_io.engine.hooks.logger import CVTIOLoggerHook, drop_repeated
from tests.analysis.run_logs import training_row, validation_row, write_log


@pytest.mark.parametrize(
    ('step', 'validated', 'kept'),
    [
        (4, False, [1, 2, 3, -3, 4]),
        (3, True, [1, 2, 3, -3]),
        (3, False, [1, 2, 3]),  # killed while, or after, it validated and before it saved
        (0, False, []),
    ],
)
def test_rows_after_the_checkpoint_go(tmp_path, step, validated, kept):
    """Validations stand as negative steps."""
    rows = [*map(training_row, (1, 2, 3)), validation_row(3, 0.1), *map(training_row, (4, 5))]
    log = write_log(tmp_path, rows)
    assert drop_repeated(tmp_path, step, validated) == 2 * (len(rows) - len(kept))  # scalars.json has them too
    for path in (log, log.with_name('scalars.json')):
        found = [json.loads(line) for line in path.read_text().splitlines()]
        assert [row['step'] if 'iter' in row else -row['step'] for row in found] == kept


def test_row_that_was_cut_short_goes_and_others_stay(tmp_path):
    log = write_log(tmp_path, [training_row(1), training_row(2)])
    note = '{"note": "without a step"}\n'
    log.write_text(note + log.read_text()[:-20])
    (log.parent / f'.{log.name}.12.tmp').touch()
    log.with_name('scalars.json').unlink()
    assert drop_repeated(tmp_path, 2, False) == 1
    assert log.read_text() == note + json.dumps(training_row(1)) + '\n'
    assert [path.name for path in log.parent.iterdir() if path.suffix != '.py'] == [log.name]


def test_nothing_is_written_where_nothing_goes(tmp_path):
    log = write_log(tmp_path, [training_row(1)])
    before = log.stat().st_mtime_ns
    assert drop_repeated(tmp_path, 1, False) == 0 and log.stat().st_mtime_ns == before


def test_analysis_reads_a_repeated_validation_after_the_training_row_of_its_step(tmp_path):
    write_log(tmp_path, [*map(training_row, (1, 2, 3))], '20260101_120000')
    write_log(tmp_path, [validation_row(3, 0.1), training_row(4)], '20260102_120000')
    run = read_run(tmp_path)
    assert [*run.training] == [1, 2, 3, 4] and [*run.validation] == [3] and run.starts == [1, 4]


def test_history_is_bounded():
    """After 25 steps of 10 kept values: those of steps 11 to 25; the last value and the windows stay."""
    hook, hub = CVTIOLoggerHook(history=10), MessageHub.get_instance('bounded')
    runner = SimpleNamespace(message_hub=hub)
    with mock.patch.object(LoggerHook, 'after_train_iter'):
        for step in range(1, 26):
            hub.update_scalar('train/loss', float(step))
            hook.after_train_iter(runner, step - 1)
    buffer = hub.get_scalar('train/loss')
    assert buffer.data[0].tolist() == [*range(11, 26)] and buffer.current() == 25 and buffer.mean(4) == 23.5


def test_no_process_logs_before_repeated_rows_are_removed(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(logger, 'drop_repeated', lambda *_: calls.append('drop') or 0)
    monkeypatch.setattr(logger, 'barrier', lambda: calls.append('barrier'))
    hub = SimpleNamespace(runtime_info={})
    runner = SimpleNamespace(_resume=True, message_hub=hub, iter=3, work_dir=tmp_path)
    with mock.patch.object(LoggerHook, 'before_train'):
        CVTIOLoggerHook().before_train(runner)
        monkeypatch.setattr(logger, 'is_main_process', lambda: False)
        CVTIOLoggerHook().before_train(runner)
    assert calls == ['drop', 'barrier', 'barrier']
