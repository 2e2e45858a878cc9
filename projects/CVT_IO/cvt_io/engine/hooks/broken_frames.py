"""One count of the broken frames over all processes of a training run."""

from __future__ import annotations

import logging
from typing import Any

from mmdet3d.registry import HOOKS
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from ...datasets.broken_frames import BrokenFrames
from ...datasets.nuscenes_dataset import CVTIONuScenesDataset


@HOOKS.register_module()
class CVTIOBrokenFramesHook(Hook):
    """Shares what the processes know of the training set's broken frames, and says at the end how many there were.

    Without it each process of a distributed run goes by the broken frames that it has met itself.

    Args:
        interval: steps between two counts.

    Raises:
        DataError: together the processes have met too many; on all of them.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Counts."""
        if self.every_n_train_iters(runner, self.interval):
            self._count(runner)

    def after_train(self, runner: Runner) -> None:
        """Counts and reports."""
        count = self._count(runner)
        if count:
            print_log(
                f'{count} of {_frames(runner.train_dataloader.dataset)} training frames were broken and skipped.',
                logger='current',
                level=logging.WARNING,
            )

    @staticmethod
    def _count(runner: Runner) -> int:
        dataset = runner.train_dataloader.dataset
        broken: BrokenFrames | None = getattr(dataset, 'broken', None)
        if broken is None or not dataset.skip_broken:
            return 0
        known = broken.flags.clone()
        all_reduce(known, op='max')
        broken.flags[known.bool()] = 1  # data workers may have set others meanwhile
        broken.check(_frames(dataset))
        return len(broken)


def _frames(dataset: CVTIONuScenesDataset) -> int:
    return len(dataset) + dataset.dropped
