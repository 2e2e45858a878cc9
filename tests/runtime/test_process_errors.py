"""What a tool says of errors in other processes, with real data workers and torchrun's reader of error files."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
import torch
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure
from torch.utils.data import DataLoader

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime import process_errors
from projects.CVT_IO.cvt_io.runtime.process_errors import data_worker_error, lost_process_error

# As of PyTorch 2.13, in two collectives and at a time-out.
CLOSED = (
    '[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:59614. This is'
)
TIMED_OUT = '[/pytorch/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 5000ms for recv'


class Deadly:
    """A data set whose second sample sends a signal to the worker that reads it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> int:
        if index == 1:
            os.kill(os.getpid(), self.number)
            time.sleep(5)
        return index


def unreadable() -> None:
    raise DataError('a.json: no such key')


def ending(main, monkeypatch, tmp_path) -> tuple[str, ProcessFailure]:
    """What a tool exits with, and what torchrun reads of it."""
    path = tmp_path / 'error.json'
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', str(path))
    monkeypatch.setattr(process_errors, 'SECONDS_TO_CAUSE', 0)
    with pytest.raises(SystemExit) as end:
        cli.run(main)
    return end.value.code, ProcessFailure(local_rank=0, pid=1, exitcode=1, error_file=str(path))


@pytest.mark.parametrize(
    ('number', 'text'),
    [
        (signal.SIGKILL, 'was killed by the system, most likely because memory ran out'),
        (signal.SIGBUS, 'got a bus error, most likely because shared memory'),
        (signal.SIGSEGV, 'crashed (Segmentation fault)'),
    ],
)
def test_a_data_worker_that_is_killed(number, text, monkeypatch, tmp_path):
    message, failure = ending(lambda: list(DataLoader(Deadly(number), num_workers=1)), monkeypatch, tmp_path)
    assert message.startswith('error: data worker ') and text in message and 'num_workers' in message
    assert len(message.splitlines()) == 1
    assert failure.message['message'] == message


def test_both_wordings_of_a_lost_data_worker():
    waiting = RuntimeError('DataLoader worker (pid(s) 12, 345) exited unexpectedly')
    assert data_worker_error(waiting).startswith('data worker 12, 345 was killed by the system')


@pytest.mark.parametrize(
    'error', [RuntimeError(CLOSED), RuntimeError(TIMED_OUT), torch.distributed.DistStoreError('x')]
)
def test_a_lost_process(error, monkeypatch, tmp_path):
    def fail() -> None:
        raise error

    message, failure = ending(fail, monkeypatch, tmp_path)
    assert message.startswith('error: another process of this run is gone') and len(message.splitlines()) == 1
    assert failure.message['message'] == message


def test_other_errors_are_not_reworded():
    error = RuntimeError('shape mismatch')
    assert data_worker_error(error) is lost_process_error(error) is None


def test_the_process_that_lost_another_waits_for_the_launcher(monkeypatch):
    waited = []
    monkeypatch.setattr(process_errors.time, 'sleep', waited.append)
    monkeypatch.delenv('TORCHELASTIC_ERROR_FILE', raising=False)
    process_errors.await_cause()
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', 'x')
    process_errors.await_cause()
    assert waited == [process_errors.SECONDS_TO_CAUSE]


@pytest.mark.parametrize(
    ('main', 'text'),
    [
        (lambda: sys.exit('error: --amp needs a GPU'), 'error: --amp needs a GPU'),
        (unreadable, 'error: a.json: no such key'),
    ],
)
def test_torchrun_learns_of_expected_errors(main, text, monkeypatch, tmp_path):
    message, failure = ending(main, monkeypatch, tmp_path)
    assert message == text == failure.message['message']


def test_torchrun_learns_of_unexpected_errors(monkeypatch, tmp_path):
    path = tmp_path / 'error.json'
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', str(path))
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda: 1 / 0)
    failure = ProcessFailure(local_rank=0, pid=1, exitcode=1, error_file=str(path))
    text = failure.message['extraInfo']['py_callstack']
    assert 'Traceback' in text and 'ZeroDivisionError: division by zero' in text
    assert abs(failure.timestamp - time.time()) < 60


def test_without_torchrun_no_file_is_written(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('TORCHELASTIC_ERROR_FILE', raising=False)
    with pytest.raises(SystemExit):
        cli.run(lambda: sys.exit('error: x'))
    assert not [*tmp_path.iterdir()]
