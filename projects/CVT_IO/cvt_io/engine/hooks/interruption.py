"""Runs that end before they are done, by a signal or because their time is up, in a way that they can be continued."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread, current_thread, main_thread
from types import FrameType
from typing import Any, NoReturn

import torch
from mmdet3d.registry import HOOKS
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner

from ...errors import DataError
from ..train_loop import CVTIOTrainLoop
from .checkpoint import CVTIOCheckpointHook

#: Exit code of a run whose time is up: sysexits.h's EX_TEMPFAIL, "try again". After a signal it is 128 + the signal.
TIME_IS_UP = 75
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: A terminal and torchrun both pass a signal on; what follows within this many seconds is the same one.
_SAME_SIGNAL = 1.0


@HOOKS.register_module()
class CVTIOInterruptionHook(Hook):
    """On SIGTERM or SIGINT, or when the time is up: finishes the step, saves, says how to go on, exits non-zero.

    A validation is not finished but left to the resumed run, as the state was saved before it. A second signal exits at
    once, and loses what came after the last checkpoint. Several processes agree after each step, so that all stop after
    the same one if a signal reached any of them.

    Args:
        max_time: seconds from the start of the process after which it has to have ended; ``None`` for no limit. It
            stops when the longest step, save and (where one is due) validation so far, and the margin, would not fit.
        margin: seconds for ending data workers, loggers and the interpreter.
    """

    priority = 'LOWEST'
    checkpoints: CVTIOCheckpointHook

    def __init__(self, max_time: float | None = None, margin: float = 30.0) -> None:
        self.deadline = None if max_time is None else time.monotonic() - process_age() + max_time
        self.margin = margin
        self.exit_code = 0
        self._signalled: tuple[int, float] | None = None
        self._longest = {'step': 0.0, 'validation': 0.0}
        self._clock = 0.0
        self._previous: dict[int, Any] = {}
        self._training = False

    def before_train(self, runner: Runner) -> None:
        """Takes over the signals."""
        checkpoints = next((hook for hook in runner.hooks if isinstance(hook, CVTIOCheckpointHook)), None)
        if checkpoints is None:
            raise DataError('default_hooks.checkpoint: expected a CVTIOCheckpointHook, which saves on interruption')
        if not isinstance(runner.train_loop, CVTIOTrainLoop):
            found = type(runner.train_loop).__name__
            raise DataError(f'train_cfg.type: expected a CVTIOTrainLoop, which can be interrupted, got {found}')
        self.checkpoints = checkpoints
        if current_thread() is main_thread():  # Python lets no other one take signals
            self._previous = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        self._training = True
        self._clock = time.monotonic()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Ends the training loop if there is a reason to, in any process."""
        self._measure('step')
        cause = torch.tensor(self._cause(runner.train_loop.validation_due(batch_idx + 1)))
        all_reduce(cause, op='max')
        self.exit_code = int(cause)
        runner.train_loop.stop_training |= self.exit_code > 0

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Leaves the validation: all is saved, and the processes, which may have shares of different size, need not
        agree.
        """
        if not self._training:
            return
        self.exit_code = self._cause(False)
        if self.exit_code:
            self._leave(runner)

    def after_val(self, runner: Runner) -> None:
        """Measures the validation."""
        self._measure('validation')

    def after_train(self, runner: Runner) -> None:
        """Saves if the training loop has been ended, and gives the signals back."""
        if self.exit_code:
            self.checkpoints.save(runner)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
        self._training = False

    def after_run(self, runner: Runner) -> None:
        """Exits if the training loop has been ended."""
        if self.exit_code:
            self._leave(runner)

    def _cause(self, validation_due: bool) -> int:
        """Exit code of the reason to stop now, 0 if there is none."""
        if self._signalled is not None:
            return 128 + self._signalled[0]
        needed = self.margin + self._longest['step'] + self.checkpoints.longest_save
        needed += self._longest['validation'] if validation_due else 0.0
        return TIME_IS_UP if self.deadline is not None and time.monotonic() + needed > self.deadline else 0

    def _measure(self, what: str) -> None:
        now = time.monotonic()
        self._longest[what] = max(self._longest[what], now - self._clock)
        self._clock = now

    def _leave(self, runner: Runner) -> NoReturn:
        if is_main_process():
            why = 'The time is up' if self.exit_code == TIME_IS_UP else signal.Signals(self.exit_code - 128).name
            runner.logger.warning(
                f'{why}: ended after step {runner.iter} of {runner.max_iters}, saved as {self.checkpoints.last_ckpt}. '
                f'Go on, in {Path.cwd()}, with: {resume_command([sys.executable, *sys.argv], os.environ)}'
            )
        raise SystemExit(self.exit_code)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signalled is None:
            self._signalled = (number, now)
            text = 'finishes the step and saves, or leaves the validation; again to exit at once'
            os.write(2, f'\n{signal.Signals(number).name}: {text}\n'.encode())  # print is not for signal handlers
        elif now - self._signalled[1] > _SAME_SIGNAL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@FUNCTIONS.register_module(name='CVTIOWorkerInit')
def shield_worker(worker_id: int) -> None:
    """Lets a data worker outlive a signal that is sent to the whole process group, as the step needs its batches.

    SIGTERM is obeyed when it comes from the worker's own process, which sends one when it exits, and waits; from others
    the second time.
    """

    def await_sigterm() -> None:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
            signal.sigwaitinfo({signal.SIGTERM})
        os._exit(0)  # as PyTorch's own handler does

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Handlers in Python do not learn who sent a signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    Thread(target=await_sigterm, daemon=True).start()


def resume_command(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """The command line that continues a run.

    Args:
        words: interpreter, script and arguments of this run.
        environment: of this run; torchrun's variables tell of the processes.
    """
    python, *rest = words
    kept = []
    for word, previous in zip(rest, ['', *rest], strict=False):
        value_of_resume = previous == '--resume' and not word.startswith('-')
        if word.partition('=')[0] != '--resume' and not value_of_resume:
            kept.append(word)
    launcher = []
    if 'TORCHELASTIC_RUN_ID' in environment:
        names = {'nproc_per_node': 'LOCAL_WORLD_SIZE', 'nnodes': 'GROUP_WORLD_SIZE'}
        if environment['GROUP_WORLD_SIZE'] != '1':
            names |= {'node_rank': 'GROUP_RANK', 'master_addr': 'MASTER_ADDR', 'master_port': 'MASTER_PORT'}
        flags = [f'--{flag}={environment[name]}' for flag, name in names.items()]
        launcher = ['-m', 'torch.distributed.run', *(flags if len(flags) > 2 else ['--standalone', flags[0]])]
    return shlex.join([python, *launcher, *kept, '--resume'])


def process_age() -> float:
    """Seconds since this process was started, imports included, where the system tells; else 0."""
    try:
        fields = Path('/proc/self/stat').read_text().rpartition(')')[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf('SC_CLK_TCK')
    except (OSError, AttributeError):
        return 0.0
