"""One count of the broken frames over all processes of a training run."""

from __future__ import annotations

import logging
from typing import Any

from mmdet3d.registry import HOOKS
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from ...datasets.nuscenes_dataset import CVTIONuScenesDataset
from ...datasets.wrappers import parts_of


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
            frames = sum(_frames(part) for part in _parts(runner))
            print_log(
                f'{count} of {frames} training frames were broken and skipped.',
                logger='current',
                level=logging.WARNING,
            )

    @staticmethod
    def _count(runner: Runner) -> int:
        parts = _parts(runner)
        for part in parts:
            known = part.broken.flags.clone()
            all_reduce(known, op='max')
            part.broken.flags[known.bool()] = 1  # data workers may have set others meanwhile
            part.broken.check(_frames(part))
        return sum(len(part.broken) for part in parts)


def _parts(runner: Runner) -> list[CVTIONuScenesDataset]:
    """The training data sets that skip broken frames."""
    return [part for part in parts_of(runner.train_dataloader.dataset) if getattr(part, 'skip_broken', False)]


def _frames(dataset: CVTIONuScenesDataset) -> int:
    return len(dataset) + dataset.dropped
