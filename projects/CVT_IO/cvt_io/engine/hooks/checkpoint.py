"""Checkpoints from which a killed run continues as if nothing had happened."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mmdet3d.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from ...fileio.atomic import remove_temporaries
from ...fileio.durable import CVTIODurableBackend
from ..train_loop import VALIDATED

BACKEND = dict(backend=CVTIODurableBackend.__name__)
_REPLACED = 'replaced_ckpts'


@HOOKS.register_module()
class CVTIOCheckpointHook(CheckpointHook):
    """mmengine's hook, safe against a kill at any moment. Counts steps only.

    * Files are whole or absent (:class:`CVTIODurableBackend`), ``last_checkpoint`` too.
    * A file is removed after its replacement has been written, and a checkpoint names the files that it replaces: if
      the run is killed in between, the resumed one removes them. So the disk needs room for one more checkpoint than
      ``max_keep_ckpts``.
    * The state is saved before each validation, and again after it with the best score. A checkpoint records which
      step was validated last, so that :class:`CVTIOTrainLoop` repeats an interrupted validation.

    Args:
        interval: steps between checkpoints.
        **kwargs: of ``CheckpointHook``.
    """

    file_backend: CVTIODurableBackend
    best_ckpt_path: str | None
    best_ckpt_path_dict: dict[str, str | None]

    def __init__(self, interval: int, by_epoch: bool = False, **kwargs: Any) -> None:
        if by_epoch:
            raise ValueError('by_epoch: expected False, as training is counted in steps')
        super().__init__(interval, by_epoch=False, backend_args=BACKEND, **kwargs)
        self.longest_save = 0.0  # seconds
        self._saved: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Finishes what a killed run was about to do: removes partial and replaced files."""
        super().before_train(runner)
        info = runner.message_hub.runtime_info
        if self.save_best is not None and len(self.key_indicators) == 1:
            self.best_ckpt_path = self._here(self.best_ckpt_path)
        elif self.save_best is not None:
            self.best_ckpt_path_dict = {key: self._here(path) for key, path in self.best_ckpt_path_dict.items()}
        if is_main_process():
            for folder in {str(self.out_dir), runner.work_dir}:
                remove_temporaries(Path(folder))
            self.file_backend.outdated += info.get(_REPLACED, [])
            self.file_backend.remove_outdated(self.out_dir)

    def before_val(self, runner: Runner) -> None:
        """Saves, so that nothing is lost if the validation is interrupted."""
        self.save(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Saves with the result of the validation."""
        runner.message_hub.update_info(VALIDATED, runner.iter)
        self._saved = None
        super().after_val_epoch(runner, metrics)
        self.save(runner)

    def save(self, runner: Runner) -> None:
        """Saves the state after ``runner.iter`` steps, unless it has been saved already. Not within a step."""
        if self._saved != runner.iter:
            self._save_checkpoint_with_step(runner, runner.iter, dict(epoch=runner.epoch, iter=runner.iter))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, int]) -> None:
        """Writes the checkpoint, then the pointer to it, then removes what is outdated."""
        started = time.monotonic()
        name = self.filename_tmpl.format(step)
        self._keep(runner, step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.message_hub.update_info(_REPLACED, [Path(path).name for path in self.file_backend.outdated])
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=False,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            self.file_backend.put(self.last_ckpt.encode(), Path(runner.work_dir, 'last_checkpoint'))
            self.file_backend.remove_outdated(self.out_dir)
        self._saved = step
        self.longest_save = max(self.longest_save, time.monotonic() - started)

    def _keep(self, runner: Runner, step: int) -> None:
        """Marks the oldest checkpoint for removal if there is one too many."""
        if self.max_keep_ckpts <= 0 or step in self.keep_ckpt_ids:
            return
        if len(self.keep_ckpt_ids) == self.max_keep_ckpts and is_main_process():
            self.file_backend.remove(self.filename_tmpl.format(self.keep_ckpt_ids[0]))
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))

    def _here(self, path: str | None) -> str | None:
        """A recorded file in this run's folder, which may have been moved; the record itself is not trusted."""
        return path and self.file_backend.join_path(self.out_dir, Path(path).name)
