"""Watches a run while it trains, and acts when it goes wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmdet3d.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner

from ....errors import DataError
from ....fileio.atomic import write_json
from ....fileio.records import read_json
from ....models import unwrap_model
from ..interruption import CVTIOInterruptionHook
from ..resume_hint import resume_command
from .detector import VERSION, Alarm, HealthDetector, Rule, Thresholds
from .kept import KeptCheckpoints, lower_rate
from .locate import locate

RECORD = 'health.json'
_STATE = 'cvt_io_health'
_COUNTERS = ('rollbacks', 'healthy', 'candidate', 'validated')
_ACTIONS = ('stop', 'warn', 'roll_back')
#: While a loss scale is searched for by halving, gradients are infinite for a few steps.
_AMP_PATIENCE = 20


class HealthError(DataError):
    """A run went wrong and was stopped."""


@HOOKS.register_module()
class CVTIOHealthHook(Hook):
    """Feeds a :class:`HealthDetector`, logs what it finds, and keeps the last healthy checkpoint.

    Each alarm is logged with its step and a module (:func:`locate`), and written to ``health.json`` in the work folder.
    Loss and gradient norm are taken from mmengine's log, for which they have been copied from the device already.

    A checkpoint is healthy if nothing was suspicious when it was saved nor for 1.2 % of the run thereafter, and a
    validation has passed since. The last healthy one is kept as ``kept_iter_<step>.pth`` (a second name of the file),
    and ``last_healthy``, beside ``last_checkpoint``, holds its path. The best one is kept by ``CheckpointHook``.

    All processes judge the means of their numbers and so agree. The effects of ``roll_back`` are saved in the
    checkpoints, so a resumed run equals an uninterrupted one. Without ``clip_grad`` there is no gradient norm to watch,
    and the origin of a NaN cannot be located, as it has spread to all parameters by then.

    Args:
        action: on an alarm, ``stop`` raises a :class:`HealthError`; ``warn`` does nothing more; ``roll_back`` loads
            weights, running statistics and optimizer state of the last healthy checkpoint, or of the start, and
            continues with the next step and samples at a lower rate.
        act_on: rules that the action applies to (see the table in :mod:`.detector`); alarms of the others only warn.
        factor: of the learning rate when rolling back.
        max_rollbacks: the next alarm after so many stops the run.
        iou_key: validation metric to watch; ``None``: the one that chooses the best checkpoint.
        thresholds: figures of the detector that differ from its defaults, by name.
    """

    priority = 'NORMAL'  # before the scheduler's step and the checkpoint of this step

    def __init__(
        self,
        action: str = 'stop',
        act_on: Sequence[str] = (Rule.NOT_FINITE, Rule.LOSS_JUMP, Rule.IOU_FELL),
        factor: float = 0.5,
        max_rollbacks: int = 3,
        iou_key: str | None = None,
        thresholds: dict[str, Any] | None = None,
    ) -> None:
        if action not in _ACTIONS:
            raise ValueError(f'action: expected one of {", ".join(_ACTIONS)}, got {action!r}')
        unknown = [rule for rule in act_on if rule not in list(Rule)]
        if unknown:
            raise ValueError(f'act_on: expected some of {", ".join(Rule)}, got {unknown[0]!r}')
        if not 0 < factor < 1:
            raise ValueError(f'factor: expected a number between 0 and 1, got {factor!r}')
        self.action, self.act_on, self.factor, self.max_rollbacks = action, tuple(act_on), factor, max_rollbacks
        self.iou_key = iou_key
        self.thresholds = thresholds or {}
        self.detector: HealthDetector | None = None
        self.interruption: CVTIOInterruptionHook | None = None
        self.rollbacks = 0
        #: Steps of the last healthy checkpoint, of one that may become it, and of the last validation.
        self.healthy: int | None = None
        self.candidate: int | None = None
        self.validated = 0
        self._alarms: list[dict[str, Any]] = []
        self._batches: Sequence[dict] = ()
        self._found: str | None = None

    def before_train(self, runner: Runner) -> None:
        """Starts, or restores the state that the checkpoint of a resumed run holds."""
        patience = _AMP_PATIENCE if isinstance(runner.optim_wrapper, AmpOptimWrapper) else 1
        self.detector = HealthDetector(runner.max_iters, Thresholds(**({'patience': patience} | self.thresholds)))
        checkpoints = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if checkpoints is None or checkpoints.by_epoch:
            raise DataError(
                'default_hooks.checkpoint: expected a CheckpointHook with by_epoch=False, for the health hook'
            )
        self.kept = KeptCheckpoints(checkpoints)
        self.interruption = next((hook for hook in runner.hooks if isinstance(hook, CVTIOInterruptionHook)), None)
        state = runner.message_hub.runtime_info.get(_STATE)
        if runner.iter > 0 and state is not None and state['detector'].get('version') == VERSION:
            self.detector.load_state_dict(state['detector'])
            for name in _COUNTERS:
                setattr(self, name, state[name])
        self._alarms = self._read_record(runner)
        runner.optim_wrapper.optimizer.register_step_pre_hook(lambda *_: self._before_update(runner))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Records the batches, and the checkpoint that the last step wrote."""
        starts, self._found = not self._batches, None
        self._batches = getattr(runner.train_loop, 'batches', None) or [data_batch]
        if runner.iter == 0:
            self.kept.forget(runner)
            if self.action == 'roll_back':
                self.kept.save(runner)
                self.healthy = 0
        elif starts:
            self.healthy = self.kept.find(runner, self.healthy)
            if self.candidate is not None and not self.kept.available(self.candidate):
                self.candidate = None
        written = runner.iter > 0 and self.kept.just_written(runner.iter)
        # A run resumed from another folder's checkpoint has none of its own yet.
        if written and (not starts or self.kept.available(runner.iter)):
            if self.candidate is None and not self._detector.suspicious:
                self.candidate = runner.iter
                self.kept.keep(runner.iter)
            # A run resumed from this checkpoint needs those that it names, which are among these.
            self.kept.remove_all_but([self.healthy, self.candidate])

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Judges the step."""
        logged = runner.message_hub.log_scalars
        row = {name: logged[f'train/{name}'].current() for name in ('loss', 'grad_norm') if f'train/{name}' in logged}
        if self.interruption is not None:  # in the one reduction of the step
            row = dict(zip(row, self.interruption.agree(runner, [*row.values()]), strict=True))
        self._judge(runner, batch_idx + 1, row)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Judges the IoU, which is the same on all processes."""
        key, metrics = self.iou_key, metrics or {}
        if self.detector is None:
            return
        if key is None and self.kept.checkpoints.save_best:
            key = self.kept.checkpoints.key_indicators[0]
            key = next(iter(metrics), None) if key == 'auto' else key  # as mmengine's hook resolves it
        if key is None:
            return
        if key not in metrics:
            known = ', '.join(metrics)
            raise DataError(f'default_hooks.health.iou_key: {key} is not a metric, expected one of {known}')
        self.validated = runner.iter
        self._judge(runner, runner.iter, {'iou': metrics[key]})

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Adds the state to mmengine's own runtime infos."""
        if self.detector is not None:
            state = {name: getattr(self, name) for name in _COUNTERS} | {'detector': self.detector.state_dict()}
            checkpoint['message_hub']['runtime_info'][_STATE] = state
            checkpoint['message_hub']['resumed_keys'][_STATE] = True

    @property
    def _detector(self) -> HealthDetector:
        if self.detector is None:
            raise RuntimeError('before_train has not been called')
        return self.detector

    def _judge(self, runner: Runner, step: int, row: dict[str, float]) -> None:
        alarms = self._detector.update(step, **row)
        for alarm in alarms:
            if alarm.rule not in self.act_on:
                self._record(runner, [alarm], 'this rule only warns', 'warn')
        acting = [alarm for alarm in alarms if alarm.rule in self.act_on]
        if acting:
            self._act(runner, step, acting)
        if self._detector.suspicious:
            self.candidate = None
        elif self.candidate is not None and self._settled(runner, step, self.candidate):
            self.healthy, self.candidate = self.candidate, None
            self.kept.call_healthy(runner, self.healthy)

    def _settled(self, runner: Runner, step: int, candidate: int) -> bool:
        """Whether enough has been seen since a checkpoint to call it healthy."""
        watched = runner.val_loop is not None and (self.iou_key or self.kept.checkpoints.save_best)
        return (self.validated >= candidate or not watched) and step >= candidate + self._detector.settled_after

    def _act(self, runner: Runner, step: int, alarms: list[Alarm]) -> None:
        where = self._found
        if where is None:
            where = self._locate(runner) if self._batches else 'before the first step after resuming'
        action = self.action
        if action == 'roll_back' and (self.healthy is None or self.rollbacks == self.max_rollbacks):
            action = 'stop'
        text = self._record(runner, alarms, where, action)
        if action == 'stop':
            raise HealthError(f'{text}; stopped. {self._resume_hint()}')
        if action == 'roll_back' and self.healthy is not None:
            self._roll_back(runner, step, self.healthy)

    def _record(self, runner: Runner, alarms: list[Alarm], where: str, action: str) -> str:
        """Logs alarms of one step and writes them to a file; returns what was logged."""
        text = f'step {alarms[0].step}: {"; ".join(alarm.message for alarm in alarms)} ({where})'
        if is_main_process():
            log = runner.logger.warning if action == 'warn' else runner.logger.error
            log(f'Health: {text}')
            self._alarms += [
                dict(step=alarm.step, rule=str(alarm.rule), message=alarm.message, where=where, action=action)
                for alarm in alarms
            ]
            write_json(Path(runner.work_dir, RECORD), {'alarms': self._alarms})
        return text

    def _roll_back(self, runner: Runner, step: int, healthy: int) -> None:
        checkpoint = self.kept.load(runner, healthy)
        self._detector.load_state_dict(checkpoint['message_hub']['runtime_info'][_STATE]['detector'])
        self._detector.restart(step)
        self.candidate = None
        rate = lower_rate(runner, self.factor)
        self.rollbacks += 1
        if is_main_process():
            runner.logger.warning(
                f'Health: rolled back to step {healthy}, {self.rollbacks} of at most {self.max_rollbacks} times; '
                f'continuing with step {step + 1} and {self.factor:g} of the learning rate, {rate:.3g}'
            )

    def _before_update(self, runner: Runner) -> None:
        """Locates non-finite gradients before they spread to all parameters."""
        norm = runner.message_hub.log_scalars.get('train/grad_norm')
        if norm is not None and not math.isfinite(norm.current()):
            self._found = self._locate(runner)

    def _locate(self, runner: Runner) -> str:
        model = unwrap_model(runner.model)
        return locate(model, self._batches, partial(runner.optim_wrapper.optim_context, model))

    def _resume_hint(self) -> str:
        if self.rollbacks:
            return f'It had been rolled back {self.rollbacks} times: lower optim_wrapper.optimizer.lr'
        if self.healthy is None:
            return (
                'No checkpoint is known to be healthy yet: start again with a lower optim_wrapper.optimizer.lr, or '
                'with default_hooks.health.action=roll_back, which keeps the start'
            )
        command = resume_command(
            checkpoint=str(self.kept.path(self.healthy)), options=['default_hooks.health.action=roll_back']
        )
        return f'Resume from the last healthy checkpoint, at a lower rate should it happen again, with: {command}'

    def _read_record(self, runner: Runner) -> list[dict[str, Any]]:
        """Alarms of a resumed run up to the step from which it continues."""
        path = Path(runner.work_dir, RECORD)
        if runner.iter == 0 or not path.is_file():
            return []
        return [alarm for alarm in read_json(path)['alarms'] if alarm['step'] <= runner.iter]
