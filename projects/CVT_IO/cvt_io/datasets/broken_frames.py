"""Counting the broken frames of a data set."""

from __future__ import annotations

import logging

import torch
from mmengine.logging import print_log

from ..errors import DataError


class BrokenFrames:
    """Records the broken frames of an info file, across this process and its data workers (forked or spawned).

    Args:
        ann_file: the info file.
        total: number of frames in it.
        max_share: fraction of the data set's frames that may be broken, below 1.
    """

    def __init__(self, ann_file: str, total: int, max_share: float) -> None:
        self.ann_file = ann_file
        self.max_share = max_share
        # One flag per frame in shared memory, so a frame counts once however many workers find it. Flags are only ever
        # set, so no lock is needed.
        self.flags = torch.zeros(total, dtype=torch.uint8).share_memory_()

    def __len__(self) -> int:
        return int(self.flags.sum())

    def report(self, index: int, error: DataError, frames: int) -> None:
        """Counts and logs a frame, unless it is already known.

        Args:
            index: index of the frame in the info file.
            error: what is wrong with it.
            frames: number of frames in the data set, which may be a part of the file.

        Raises:
            DataError: too many frames are broken.
        """
        if self.flags[index]:
            return
        self.flags[index] = 1
        self.check(frames, f'; the last: {error}')
        # At level ERROR, because processes other than the first drop everything below.
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
                f'found {len(self)}{note}'
            )
