"""One count of broken frames over all processes of a training run."""

from __future__ import annotations

import logging
from typing import Any

from mmdet3d.registry import HOOKS
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner

from ...datasets.nuscenes_dataset import CVTIONuScenesDataset
from ...datasets.wrappers import parts_of

_STATE = 'cvt_io_broken_frames'


@HOOKS.register_module()
class CVTIOBrokenFramesHook(Hook):
    """Shares the broken training frames known to each process, and logs their number at the end.

    Without it, each process of a distributed run knows only the broken frames that it met itself. A resumed run
    remembers those found earlier.

    Args:
        interval: steps between counts.

    Raises:
        DataError: the processes together met too many; raised on all of them.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval

    def before_train(self, runner: Runner) -> None:
        """Restores the frames recorded in the checkpoint of a resumed run, for the same info files."""
        known = runner.message_hub.runtime_info.get(_STATE, {})
        for part in _parts(runner):
            state = known.get(part.ann_file)
            if state is not None and state['frames'] == len(part.broken.flags):
                part.broken.flags[state['indices']] = 1

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Adds the known broken frames to mmengine's runtime infos."""
        parts = _parts(runner) if isinstance(runner._train_loop, BaseLoop) else []
        known = {
            part.ann_file: dict(frames=len(part.broken.flags), indices=part.broken.flags.nonzero().flatten().tolist())
            for part in parts
            if len(part.broken)
        }
        if known:
            checkpoint['message_hub']['runtime_info'][_STATE] = known
            checkpoint['message_hub']['resumed_keys'][_STATE] = True

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Counts."""
        if self.every_n_train_iters(runner, self.interval):
            self._count(runner)

    def after_train(self, runner: Runner) -> None:
        """Counts and reports."""
        count = self._count(runner)
        if count:
            frames = sum(_frames(part) for part in _parts(runner))
            print_log(
                f'{count} of {frames} training frames were broken and skipped.', logger='current', level=logging.WARNING
            )

    @staticmethod
    def _count(runner: Runner) -> int:
        parts = _parts(runner)
        for part in parts:
            known = part.broken.flags.clone()
            all_reduce(known, op='max')
            part.broken.flags[known.bool()] = 1  # data workers may have set others in the meantime
            part.broken.check(_frames(part))
        return sum(len(part.broken) for part in parts)


def _parts(runner: Runner) -> list[CVTIONuScenesDataset]:
    """The training data sets that skip broken frames."""
    return [part for part in parts_of(runner.train_dataloader.dataset) if getattr(part, 'skip_broken', False)]


def _frames(dataset: CVTIONuScenesDataset) -> int:
    return len(dataset) + dataset.dropped
