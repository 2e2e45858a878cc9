"""Watches a run while it trains, and acts when it goes wrong."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import torch
from mmdet3d.registry import HOOKS
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner

from ....errors import DataError
from ....fileio.atomic import write_json
from ....fileio.records import read_json
from ....models import unwrap_model
from ..interruption import resume_command
from .detector import Alarm, HealthDetector, Thresholds
from .entropy import attention_entropy
from .kept import KeptCheckpoints, lower_rate
from .locate import locate, parameter_norm

RECORD = 'health.json'
_STATE = 'cvt_io_health'
_COUNTERS = ('rollbacks', 'healthy', 'candidate', 'validated')
_ACTIONS = ('stop', 'go_on', 'roll_back')
#: In a search for the loss scale, which halves it, gradients are infinite for a few steps.
_AMP_PATIENCE = 20


class HealthError(DataError):
    """A run went wrong and was stopped."""


@HOOKS.register_module()
class CVTIOHealthHook(Hook):
    """Feeds a :class:`HealthDetector`, says what it sees, and keeps the last healthy checkpoint.

    Each alarm is logged with its step and a module (:func:`locate`), and written to ``health.json`` in the work folder.
    Loss and gradient norm are taken from mmengine's log, for which they have been copied from the device already.

    A checkpoint is healthy if nothing was suspicious when it was saved nor for 1.2 % of the run thereafter, and a
    validation has been passed since. The last healthy one is kept as ``kept_iter_<step>.pth`` (a second name of the
    file), and ``last_healthy`` beside ``last_checkpoint`` has its path. The best one is kept by ``CheckpointHook``.

    Processes agree, as all see the means of their numbers. What ``roll_back`` did is in the checkpoints, so a resumed
    run goes on as an uninterrupted one. Without ``clip_grad`` there is no gradient norm to watch, and the origin of a
    NaN cannot be told, as it has spoiled all parameters when it is seen.

    Args:
        action: on an alarm, ``stop`` raises a :class:`HealthError`; ``go_on`` does nothing more; ``roll_back`` loads
            weights, running statistics and optimizer state of the last healthy checkpoint, or of the start, and goes on
            with the next step and samples at a lower rate.
        factor: of the learning rate at a roll back.
        max_rollbacks: after so many the next alarm stops.
        iou_key: validation metric that is watched; ``None`` takes the one by which the best checkpoint is chosen.
        interval: steps between looks at the parameters.
        entropy_interval: steps between looks at the attention, of one sample; 0 for none.
        thresholds: of the detector, where they differ, by name.
    """

    priority = 'NORMAL'  # before the scheduler's step and the checkpoint of this step

    def __init__(
        self,
        action: str = 'stop',
        factor: float = 0.5,
        max_rollbacks: int = 3,
        iou_key: str | None = None,
        interval: int = 20,
        entropy_interval: int = 200,
        thresholds: dict[str, Any] | None = None,
    ) -> None:
        if action not in _ACTIONS:
            raise ValueError(f'action: expected one of {", ".join(_ACTIONS)}, got {action!r}')
        if not 0 < factor < 1:
            raise ValueError(f'factor: expected a number between 0 and 1, got {factor!r}')
        self.action, self.factor, self.max_rollbacks, self.iou_key = action, factor, max_rollbacks, iou_key
        self.interval, self.entropy_interval = interval, entropy_interval
        self.thresholds = thresholds or {}
        self.detector: HealthDetector | None = None
        self.rollbacks = 0
        #: Steps of the last healthy checkpoint, of one that may become it, and of the last validation.
        self.healthy: int | None = None
        self.candidate: int | None = None
        self.validated = 0
        self._alarms: list[dict[str, Any]] = []
        self._batch: dict = {}
        self._found: str | None = None

    def before_train(self, runner: Runner) -> None:
        """Begins, or goes on with what the checkpoint of a resumed run says."""
        patience = _AMP_PATIENCE if isinstance(runner.optim_wrapper, AmpOptimWrapper) else 1
        self.detector = HealthDetector(runner.max_iters, Thresholds(**({'patience': patience} | self.thresholds)))
        hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if hook is None or hook.by_epoch:
            raise DataError(
                'default_hooks.checkpoint: expected a CheckpointHook with by_epoch=False, for the health hook'
            )
        self.kept = KeptCheckpoints(hook)
        if self.iou_key is None and hook.save_best:
            self.iou_key = hook.save_best[0]
        state = runner.message_hub.runtime_info.get(_STATE)
        if runner.iter > 0 and state is not None:
            self.detector.load_state_dict(state['detector'])
            for name in _COUNTERS:
                setattr(self, name, state[name])
        self._alarms = self._read_record(runner)
        runner.optim_wrapper.optimizer.register_step_pre_hook(lambda *_: self._before_update(runner))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Takes note of the batch, and of the checkpoint that the last step has left."""
        starts, self._batch, self._found = not self._batch, data_batch, None
        if runner.iter == 0:
            self._detector.update(0, param_norm=float(parameter_norm(unwrap_model(runner.model))))
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
            # Whoever resumes from this checkpoint finds those that it names: they are among these.
            self.kept.remove_all_but([self.healthy, self.candidate])

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Looks at the step."""
        step = batch_idx + 1
        logged = runner.message_hub.log_scalars
        row = {name: logged[f'train/{name}'].current() for name in ('loss', 'grad_norm') if f'train/{name}' in logged}
        if step % self.interval == 0:
            row['param_norm'] = float(parameter_norm(unwrap_model(runner.model)))
        if self.entropy_interval and step % self.entropy_interval == 0:
            self._add_entropy(runner, row)
        self._judge(runner, step, row)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Looks at the IoU."""
        if self.detector is None or self.iou_key is None:
            return
        metrics = metrics or {}
        if self.iou_key not in metrics:
            known = ', '.join(metrics)
            raise DataError(f'default_hooks.health.iou_key: {self.iou_key} is no metric, expected one of {known}')
        self.validated = runner.iter
        self._judge(runner, runner.iter, {'iou': metrics[self.iou_key]})

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Puts the state among mmengine's own runtime infos."""
        if self.detector is not None:
            state = {name: getattr(self, name) for name in _COUNTERS} | {'detector': self.detector.state_dict()}
            checkpoint['message_hub']['runtime_info'][_STATE] = state
            checkpoint['message_hub']['resumed_keys'][_STATE] = True

    @property
    def _detector(self) -> HealthDetector:
        assert self.detector is not None  # noqa: S101 - narrows a type
        return self.detector

    def _judge(self, runner: Runner, step: int, row: dict[str, float]) -> None:
        if get_world_size() > 1:
            values = torch.tensor([*row.values()], dtype=torch.float64)
            all_reduce(values, op='mean')
            row = dict(zip(row, values.tolist(), strict=True))
        alarms = self._detector.update(step, **row)
        if alarms:
            self._act(runner, step, alarms)
        if self._detector.suspicious:
            self.candidate = None
        elif self.candidate is not None and self._settled(runner, step, self.candidate):
            self.healthy, self.candidate = self.candidate, None
            self.kept.call_healthy(runner, self.healthy)

    def _settled(self, runner: Runner, step: int, candidate: int) -> bool:
        """Whether enough has been seen since a checkpoint to call it healthy."""
        validated = self.validated >= candidate or runner.val_loop is None or self.iou_key is None
        return validated and step >= candidate + self._detector.settled_after

    def _act(self, runner: Runner, step: int, alarms: list[Alarm]) -> None:
        where = self._found
        if where is None:
            where = (
                locate(unwrap_model(runner.model), self._batch)
                if self._batch
                else 'before the first step after a resumption'
            )
        does = self.action
        if does == 'roll_back' and (self.healthy is None or self.rollbacks == self.max_rollbacks):
            does = 'stop'
        text = f'step {step}: {"; ".join(alarm.message for alarm in alarms)} ({where})'
        if is_main_process():
            runner.logger.error(f'Health: {text}')
            self._alarms += [
                dict(step=step, rule=str(alarm.rule), message=alarm.message, where=where, action=does)
                for alarm in alarms
            ]
            write_json(Path(runner.work_dir, RECORD), {'alarms': self._alarms})
        if does == 'stop':
            raise HealthError(f'{text}; stopped. {self._way_on()}')
        if does == 'roll_back':
            self._roll_back(runner, step)

    def _roll_back(self, runner: Runner, step: int) -> None:
        assert self.healthy is not None  # noqa: S101 - narrows a type
        checkpoint = self.kept.load(runner, self.healthy)
        self._detector.load_state_dict(checkpoint['message_hub']['runtime_info'][_STATE]['detector'])
        self._detector.restart(step)
        self.candidate = None
        rate = lower_rate(runner, self.factor)
        self.rollbacks += 1
        if is_main_process():
            runner.logger.warning(
                f'Health: rolled back to step {self.healthy}, {self.rollbacks} of at most {self.max_rollbacks} times; '
                f'going on with step {step + 1} and {self.factor:g} of the learning rate, {rate:.3g}'
            )

    def _before_update(self, runner: Runner) -> None:
        """Gradients that are not finite are traced before they spoil all parameters."""
        norm = runner.message_hub.log_scalars.get('train/grad_norm')
        if norm is not None and not math.isfinite(norm.current()):
            self._found = locate(unwrap_model(runner.model), self._batch)

    def _add_entropy(self, runner: Runner, row: dict[str, float]) -> None:
        model = unwrap_model(runner.model)
        inputs = model.data_preprocessor(self._batch, False)['inputs']
        entropy = attention_entropy(model, {name: value[:1] for name, value in inputs.items()})
        if entropy is not None:
            row['entropy'] = entropy
            runner.message_hub.update_scalar('train/attention_entropy', entropy)

    def _way_on(self) -> str:
        if self.rollbacks:
            return f'It had been rolled back {self.rollbacks} times: lower optim_wrapper.optimizer.lr'
        if self.healthy is None:
            return (
                'No checkpoint is known to be healthy yet: start anew with a lower optim_wrapper.optimizer.lr, or with '
                'default_hooks.health.action=roll_back, which keeps the start'
            )
        command = resume_command([sys.executable, *sys.argv], os.environ)
        return (
            f'Go on from the last healthy checkpoint, and at a lower rate should it happen again, with: '
            f'{command} {self.kept.path(self.healthy)} --cfg-options default_hooks.health.action=roll_back'
        )

    def _read_record(self, runner: Runner) -> list[dict[str, Any]]:
        """Alarms of a resumed run up to where it goes on."""
        path = Path(runner.work_dir, RECORD)
        if runner.iter == 0 or not path.is_file():
            return []
        return [alarm for alarm in read_json(path)['alarms'] if alarm['step'] <= runner.iter]
