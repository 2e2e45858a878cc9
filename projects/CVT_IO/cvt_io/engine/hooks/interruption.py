"""Ends runs early, on a signal or at a time limit, so that they can be resumed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Thread, current_thread, main_thread
from types import FrameType
from typing import Any, NoReturn

import torch
from mmdet3d.registry import HOOKS
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner

from ...errors import DataError
from ..train_loop import CVTIOTrainLoop
from .checkpoint import CVTIOCheckpointHook
from .resume_hint import resume_command

#: Exit code of a run whose time is up: sysexits.h's EX_TEMPFAIL, "try again". After a signal it is 128 + the signal.
TIME_IS_UP = 75
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EXIT_CODES = (TIME_IS_UP, *(128 + number for number in _SIGNALS))
#: A terminal and torchrun both forward a signal; within this many seconds it is the same one.
_SAME_SIGNAL = 1.0


@HOOKS.register_module()
class CVTIOInterruptionHook(Hook):
    """On SIGTERM or SIGINT, or at the time limit: finishes the step, saves, logs how to resume, and exits non-zero.

    A validation is not finished but left to the resumed run, as the state was saved before it. A second signal exits
    immediately and loses what came after the last checkpoint. Several processes agree after each step
    (:meth:`agree`), so that all stop after the same step if a signal reached any of them.

    Args:
        max_time: seconds after the start of the process by which it must have ended; ``None`` for no limit. The run
            stops if the longest step, save and (if due) validation so far, plus the margin, would not fit.
        margin: seconds for shutting down data workers, loggers and the interpreter.
    """

    priority = 'LOWEST'
    checkpoints: CVTIOCheckpointHook

    def __init__(self, max_time: float | None = None, margin: float = 30.0) -> None:
        self.deadline = None if max_time is None else time.monotonic() - process_age() + max_time
        self.margin = margin
        self.exit_code = 0
        self._agreed = False
        self._signalled: tuple[int, float] | None = None
        self._longest = {'step': 0.0, 'validation': 0.0}
        self._clock = 0.0
        self._previous: dict[int, Any] = {}
        self._training = False

    def before_train(self, runner: Runner) -> None:
        """Installs the signal handlers."""
        checkpoints = next((hook for hook in runner.hooks if isinstance(hook, CVTIOCheckpointHook)), None)
        if checkpoints is None:
            raise DataError('default_hooks.checkpoint: expected a CVTIOCheckpointHook, which saves on interruption')
        if not isinstance(runner.train_loop, CVTIOTrainLoop):
            found = type(runner.train_loop).__name__
            raise DataError(f'train_cfg.type: expected a CVTIOTrainLoop, which can be interrupted, got {found}')
        self.checkpoints = checkpoints
        if current_thread() is main_thread():  # the only one that may install handlers
            self._previous = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        self._training = True
        self._clock = time.monotonic()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Ends the training loop if any process has a reason to stop."""
        if not self._agreed:
            self.agree(runner)
        self._agreed = False
        runner.train_loop.stop_training |= self.exit_code > 0

    def agree(self, runner: Runner, row: Sequence[float] = ()) -> list[float]:
        """The only reduction per step: the reason to stop, and the values of another hook.

        Args:
            runner: within ``after_train_iter``.
            row: any numbers.

        Returns:
            Their means over the processes.
        """
        self._measure('step')
        self.exit_code = self._cause(runner.train_loop.validation_due(runner.iter + 1))
        self._agreed = True
        if get_world_size() == 1:
            return [*row]
        values = torch.tensor([*row, *(float(self.exit_code == code) for code in _EXIT_CODES)], dtype=torch.float64)
        all_reduce(values, op='mean')
        found = [code for code, share in zip(_EXIT_CODES, values[len(row) :], strict=True) if share > 0]
        self.exit_code = max(found, default=0)
        return values[: len(row)].tolist()

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Aborts the validation. The state is saved already, so processes, whose shares may differ, need not agree."""
        if not self._training:
            return
        self.exit_code = self._cause(False)
        if self.exit_code:
            self._leave(runner)

    def after_val(self, runner: Runner) -> None:
        """Measures the validation."""
        self._measure('validation')

    def after_train(self, runner: Runner) -> None:
        """Saves if the training loop was ended early."""
        if self.exit_code:
            self.checkpoints.save(runner)

    def leave_train(self, runner: Runner) -> None:
        """Restores the signal handlers, after an exception too; called by :class:`CVTIOTrainLoop`."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
        self._training = False

    def after_run(self, runner: Runner) -> None:
        """Exits if the training loop was ended early."""
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
            why = 'Time limit reached' if self.exit_code == TIME_IS_UP else signal.Signals(self.exit_code - 128).name
            runner.logger.warning(
                f'{why}: ended after step {runner.iter} of {runner.max_iters}, saved as {self.checkpoints.last_ckpt}. '
                f'Resume, in {Path.cwd()}, with: {resume_command()}'
            )
        raise SystemExit(self.exit_code)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signalled is None:
            self._signalled = (number, now)
            text = 'finishing the step and saving, or leaving the validation; send it again to exit immediately'
            os.write(2, f'\n{signal.Signals(number).name}: {text}\n'.encode())  # print is not safe in a signal handler
        elif now - self._signalled[1] > _SAME_SIGNAL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@FUNCTIONS.register_module(name='CVTIOWorkerInit')
def shield_worker(worker_id: int) -> None:
    """Lets a data worker survive a signal that is sent to the whole process group, as the step needs its batches.

    A SIGTERM from the worker's parent, which sends one on exit and then waits, ends the worker; of those from other
    processes, only the second does.
    """

    def await_sigterm() -> None:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
            signal.sigwaitinfo({signal.SIGTERM})
        os._exit(0)  # as PyTorch's own handler does

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Python's handlers do not receive the sender of a signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    Thread(target=await_sigterm, daemon=True).start()


def process_age() -> float:
    """Seconds since this process was started, imports included; 0 if the system does not report it."""
    try:
        fields = Path('/proc/self/stat').read_text().rpartition(')')[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf('SC_CLK_TCK')
    except (OSError, AttributeError):
        return 0.0
