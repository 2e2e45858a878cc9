"""Signals and time limits: the step is finished, all is saved, and the exit code says so."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook

from projects.CVT_IO.cvt_io.engine.hooks import interruption
from projects.CVT_IO.cvt_io.engine.hooks.interruption import CVTIOInterruptionHook, process_age
from projects.CVT_IO.cvt_io.errors import DataError
from tests.team import run_team
from tests.tiny import NO_VALIDATION, hook, tiny_config, train_tiny


def send(number: int, stage: str, step: int) -> Hook:
    """Sends this process a signal within a step or a validation."""

    def act(runner, **_):
        if runner.iter + (stage == 'train') == step:
            os.kill(os.getpid(), number)

    return hook('VERY_HIGH', **{f'before_{stage}_iter': act})


def handlers() -> list:
    return [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize(
    ('number', 'stage', 'step', 'validated'), [(signal.SIGTERM, 'train', 4, 2), (signal.SIGINT, 'val', 2, None)]
)
def test_signal_saves_and_the_resumed_run_is_the_whole_one(
    toy_root, tmp_path, monkeypatch, number, stage, step, validated
):
    """After step 4, the last one, the validation is left to the resumed run."""
    monkeypatch.setattr('sys.argv', ['tools/train.py', 'a b.py', '--resume', 'iter_1.pth', '--max-time', '2h'])
    before = handlers()
    with pytest.raises(SystemExit) as end:
        train_tiny(tiny_config(toy_root, tmp_path), send(number, stage, step))
    assert end.value.code == 128 + number
    said = next(tmp_path.glob('*/*.log')).read_text()
    assert f'ended after step {step} of 4' in said and "tools/train.py 'a b.py' --max-time 2h --resume" in said
    assert handlers() == before
    checkpoint = torch.load(tmp_path / f'iter_{step}.pth', weights_only=True)
    assert checkpoint['meta']['iter'] == step
    assert checkpoint['message_hub']['runtime_info'].get('last_validated_iter') == validated
    assert len(checkpoint['optimizer']['state']) > 0
    resumed = train_tiny(tiny_config(toy_root, tmp_path, resume=True))
    assert resumed.iter == 4 and resumed.message_hub.get_info('last_validated_iter') == 4
    assert (tmp_path / 'best_vehicle_IoU@0.50_iter_2.pth').is_file()


def test_handlers_are_restored_after_an_exception(toy_root, tmp_path):
    before = handlers()

    def fail(runner, **_):
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        raise RuntimeError('out of memory')

    with pytest.raises(RuntimeError, match='out of memory'):
        train_tiny(tiny_config(toy_root, tmp_path), hook(before_train_iter=fail))
    assert handlers() == before


def reductions(toy_root: Path, work_dir: Path) -> tuple[int, int]:
    """In a team: calls of all_reduce by hooks per step, and the exit code after a signal to one process at step 2."""
    config = tiny_config(toy_root, work_dir, **NO_VALIDATION)
    config.launcher = 'none' if get_world_size() == 1 else 'pytorch'
    config.model_wrapper_cfg.device_ids = None  # on the CPU
    count = mock.Mock(side_effect=interruption.all_reduce)
    hooks = [send(signal.SIGTERM, 'train', 2)] if get_rank() == get_world_size() - 1 else []
    with mock.patch.object(interruption, 'all_reduce', count), pytest.raises(SystemExit) as end:
        train_tiny(config, *hooks)
    return count.call_count, end.value.code


@pytest.mark.parametrize('processes', [1, 2])
def test_processes_agree_in_one_reduction_a_step(toy_root, tmp_path, processes):
    """None if there is one process. A signal to one of two ends both after the same step."""
    found = run_team(processes, reductions, toy_root, tmp_path)
    assert found == [(2 * (processes > 1), 128 + signal.SIGTERM)] * processes


def test_second_signal_exits_at_once():
    child = os.fork()
    if child == 0:
        hook = CVTIOInterruptionHook()
        signal.signal(signal.SIGTERM, hook._on_signal)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # a launcher passes on what the terminal has sent already
        time.sleep(0.1)
        hook._signalled = (signal.SIGTERM, time.monotonic() - 2)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM


@pytest.mark.parametrize(('own', 'survives'), [(True, True), (False, False)])
def test_worker_outlives_a_signal_that_is_not_its_process_s(own, survives):
    """Sent by itself, in place of another process, or by its parent."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        interruption.shield_worker(0)
        os.kill(os.getpid(), signal.SIGINT)
        if own:
            os.kill(os.getpid(), signal.SIGTERM)
        os.write(writing, b'ready')
        time.sleep(0.5)
        os.write(writing, b' and alive')
        os.kill(os.getpid(), signal.SIGTERM)  # a second one is obeyed
        time.sleep(30)
        os._exit(1)
    os.close(writing)
    said = os.read(reading, 5)
    if not own:
        os.kill(child, signal.SIGTERM)
    said += os.read(reading, 20)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert said == (b'ready and alive' if survives else b'ready')


def test_time_that_is_up(toy_root, tmp_path):
    """A margin larger than the time: the first step is the last."""
    options = dict(default_hooks__interruption__max_time=60.0, default_hooks__interruption__margin=60.0)
    with pytest.raises(SystemExit) as end:
        train_tiny(tiny_config(toy_root, tmp_path, **options))
    assert end.value.code == interruption.TIME_IS_UP == 75
    assert [path.name for path in tmp_path.glob('iter_*.pth')] == ['iter_1.pth']


@pytest.mark.parametrize(
    ('left', 'due', 'stops'),
    # Needed: 30 s of margin, 2 s for a step, 3 s for saving and, where it is due, 50 s for validation.
    [(36, False, False), (34, False, True), (84, True, True), (86, True, False)],
)
def test_time_is_counted_with_the_longest_of_everything(left, due, stops):
    hook = CVTIOInterruptionHook(max_time=process_age() + left, margin=30.0)
    hook.checkpoints = type('Hook', (), dict(longest_save=3.0))
    hook._longest = dict(step=2.0, validation=50.0)
    assert hook._cause(due) == (75 if stops else 0)


def test_process_age_counts_from_the_start():
    assert 0 < process_age() < 86_400


@pytest.mark.parametrize(
    ('part', 'value', 'message'),
    [
        ('train_cfg', dict(type='IterBasedTrainLoop', max_iters=1), 'CVTIOTrainLoop, .* got IterBasedTrainLoop'),
        ('default_hooks.checkpoint', dict(type='CheckpointHook', by_epoch=False), 'CVTIOCheckpointHook'),
    ],
)
def test_what_it_needs(toy_root, tmp_path, part, value, message):
    config = tiny_config(toy_root, tmp_path)
    where, _, key = part.rpartition('.')
    (config[where] if where else config)[key] = value
    with pytest.raises(DataError, match=f'expected a {message}'):
        train_tiny(config)
