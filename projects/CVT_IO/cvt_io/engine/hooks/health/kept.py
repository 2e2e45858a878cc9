"""Checkpoints that are kept independently of the others, and rolling back to them."""

from __future__ import annotations

import copy
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from ....fileio.atomic import write_atomic
from ....fileio.checkpoint import CheckpointError, check_weights
from ....models import unwrap_model
from ...schedule import CVTIOOneCycleLR

#: Beside mmengine's ``last_checkpoint``: path of the last checkpoint that is known to be healthy.
POINTER = 'last_healthy'
_NAME = 'kept_iter_{}.pth'


class KeptCheckpoints:
    """Second names (hard links) of some of a run's checkpoints, which survive the removal of the first names.

    All processes call the methods; the main one does the work.

    Args:
        checkpoints: mmengine's hook that writes the checkpoints.
    """

    def __init__(self, checkpoints: CheckpointHook) -> None:
        self.checkpoints = checkpoints

    def path(self, step: int) -> Path:
        """Path of a kept checkpoint."""
        return Path(self.checkpoints.out_dir, _NAME.format(step))

    def just_written(self, step: int) -> bool:
        """Whether this step is one of those with a checkpoint, whether or not the run was resumed."""
        since = step - self.checkpoints.save_begin
        return self.checkpoints.interval > 0 and since >= 0 and since % self.checkpoints.interval == 0

    def available(self, step: int) -> bool:
        """Whether the checkpoint of a step is in this run's folder, once the first process has finished writing."""
        barrier()
        source = Path(self.checkpoints.out_dir, self.checkpoints.filename_tmpl.format(step))
        return source.is_file() or self.path(step).is_file()

    def keep(self, step: int) -> None:
        """Keeps the checkpoint of a step, which has just been written."""
        if is_main_process():
            source = Path(self.checkpoints.out_dir, self.checkpoints.filename_tmpl.format(step))
            if not source.exists() and self.path(step).exists():
                return  # the run was resumed from the kept one
            temporary = self.path(step).with_suffix('.tmp')
            temporary.unlink(missing_ok=True)
            try:
                os.link(source, temporary)
            except OSError:  # a file system without hard links
                shutil.copyfile(source, temporary)
            temporary.replace(self.path(step))
            temporary.unlink(missing_ok=True)  # renaming does nothing if both are names of one file

    def save(self, runner: Runner) -> None:
        """Keeps the state as it is now, before the first step."""
        args = dict(backend_args=self.checkpoints.backend_args)
        runner.save_checkpoint(
            self.checkpoints.out_dir, self.path(0).name, meta=dict(epoch=0, iter=0), by_epoch=False, **args
        )

    def call_healthy(self, runner: Runner, step: int) -> None:
        """Points to a kept checkpoint."""
        if is_main_process():
            write_atomic(Path(runner.work_dir, POINTER), str(self.path(step)).encode())

    def find(self, runner: Runner, step: int | None) -> int | None:
        """For a resumed run: the step, if its checkpoint exists; else the one pointed to, if it is not a later one."""
        if step is not None and self.path(step).is_file():
            return step
        pointer = Path(runner.work_dir, POINTER)
        found = re.search(r'kept_iter_(\d+)\.pth$', pointer.read_text()) if pointer.is_file() else None
        pointed = int(found[1]) if found else runner.iter + 1
        return pointed if pointed <= runner.iter and self.path(pointed).is_file() else None

    def forget(self, runner: Runner) -> None:
        """For a new run: removes what an earlier one has left in its folder, and logs it."""
        if is_main_process():
            names = [path.name for path in self._all()]
            if names:
                runner.logger.warning(f'Health: removing {", ".join(names)} of an earlier run in {runner.work_dir}.')
            self.remove_all_but([])
            Path(runner.work_dir, POINTER).unlink(missing_ok=True)
        barrier()

    def remove_all_but(self, steps: Collection[int | None]) -> None:
        """Removes the others."""
        if is_main_process():
            needed = {self.path(step) for step in steps if step is not None}
            for path in self._all():
                if path not in needed:
                    path.unlink(missing_ok=True)

    def _all(self) -> list[Path]:
        return sorted(Path(self.checkpoints.out_dir).glob(_NAME.format('*')))

    def load(self, runner: Runner, step: int) -> dict:
        """Loads weights, running statistics and optimizer state of a kept checkpoint; learning rates stay as they are.

        Returns:
            The checkpoint.

        Raises:
            CheckpointError: it is missing, or of another model.
        """
        barrier()
        model = unwrap_model(runner.model)
        checkpoint = check_weights(model, self.path(step))
        if 'optimizer' not in checkpoint:
            raise CheckpointError(f'{self.path(step)}: no optimizer state')
        model.load_state_dict(checkpoint['state_dict'])
        rates = [{k: v for k, v in group.items() if k != 'params'} for group in runner.optim_wrapper.param_groups]
        # A copy, as the file is only mapped into memory.
        runner.optim_wrapper.load_state_dict(copy.deepcopy(checkpoint['optimizer']))
        for group, rate in zip(runner.optim_wrapper.param_groups, rates, strict=True):
            group.update(rate)
        runner.optim_wrapper.zero_grad()
        return checkpoint


def lower_rate(runner: Runner, factor: float) -> float:
    """Multiplies the learning rate and what its schedule is made from; the schedule continues from there.

    The optimizer's groups and the schedulers carry these values, so checkpoints do as well.

    Returns:
        The rate of the first group now.
    """
    for group in runner.optim_wrapper.param_groups:
        for name in ('lr', 'initial_lr', 'max_lr', 'min_lr'):
            if name in group:
                group[name] *= factor
    for scheduler in runner.param_schedulers or []:
        if scheduler.param_name == 'lr':
            scheduler.base_values = [value * factor for value in scheduler.base_values]
            if isinstance(scheduler, CVTIOOneCycleLR):
                scheduler.scale *= factor
    return runner.optim_wrapper.param_groups[0]['lr']
