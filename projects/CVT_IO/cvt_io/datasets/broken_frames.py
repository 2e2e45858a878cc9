"""The count of a data set's broken frames."""

from __future__ import annotations

import logging

import torch
from mmengine.logging import print_log

from ..errors import DataError


class BrokenFrames:
    """Which frames of an info file were found to be broken, by this process or its data workers, forked or spawned.

    Args:
        ann_file: the info file.
        total: its frames.
        max_share: the share of a data set's frames that may be broken, below 1.
    """

    def __init__(self, ann_file: str, total: int, max_share: float) -> None:
        self.ann_file = ann_file
        self.max_share = max_share
        # One flag a frame in shared memory: however many workers find it, and how often, it counts once. No lock is
        # needed, as flags are only ever set.
        self.flags = torch.zeros(total, dtype=torch.uint8).share_memory_()

    def __len__(self) -> int:
        return int(self.flags.sum())

    def report(self, index: int, error: DataError, frames: int) -> None:
        """Counts and logs a frame, unless it is known already.

        Args:
            index: of the frame in the info file.
            error: what is wrong with it.
            frames: in the data set, which may be a part of the file.

        Raises:
            DataError: with it too many are broken.
        """
        if self.flags[index]:
            return
        self.flags[index] = 1
        self.check(frames, f'; the last: {error}')
        # As an error: other processes than the first log nothing less.
        print_log(
            f'Skipped a broken frame, number {len(self)} of at most {int(self.max_share * frames)}: {error}',
            logger='current',
            level=logging.ERROR,
        )

    def check(self, frames: int, note: str = '') -> None:
        """Raises a ``DataError`` if too many frames are broken."""
        if len(self) > self.max_share * frames:
            raise DataError(
                f'{self.ann_file}: expected at most {self.max_share:g} of {frames} frames to be broken (max_broken), '
                f'found {len(self)} that are{note}'
            )
