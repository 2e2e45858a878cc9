"""Distribution of frames over machines, and the check that all labels were made."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from ..frame import Frame


@dataclass(frozen=True)
class Shard:
    """Shard ``index`` of ``count``, from 1/n to n/n.

    Frames are assigned round-robin, which balances the load, as consecutive frames cost about the same. Shards are
    disjoint, cover all frames, and differ by at most one frame.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parses ``i/n``.

        Raises:
            DataError: the text has another form, or i is not in 1 … n.
        """
        match = re.fullmatch(r'([0-9]+)/([0-9]+)', text)
        index, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= index <= count:
            raise DataError(f'--shard: expected i/n with i from 1 to n, such as 1/4, got {text!r}')
        return cls(index, count)

    def __str__(self) -> str:
        return f'{self.index}/{self.count}'

    def share(self, frames: Mapping[str, Sequence[Frame]]) -> dict[str, list[Frame]]:
        """Frames of this shard; the round-robin continues from one split to the next."""
        turn = itertools.count()
        return {
            split: [frame for frame in members if next(turn) % self.count == self.index - 1]
            for split, members in frames.items()
        }


@dataclass(frozen=True)
class _Gap:
    """A label that a shard still has to make."""

    shard: Shard
    scene: str
    fault: str


def check_labels(folder: Path, frames: Sequence[Frame], count: int, states: Iterable[str | int]) -> list[int]:
    """Checks that every label exists, is intact and up to date.

    Args:
        folder: folder of the labels.
        frames: all frames of all splits, in the order in which they were distributed.
        count: number of shards.
        states: :meth:`LabelMaker.state` of each frame.

    Returns:
        Sizes of the label files, in bytes.

    Raises:
        DataError: some are not; reports how many, what is wrong, and which shards have to be rerun for which scenes.
    """
    sizes, gaps = [], []
    for i, (frame, state) in enumerate(zip(frames, states, strict=True)):
        if isinstance(state, int):
            sizes.append(state)
        else:
            gaps.append(_Gap(Shard(i % count + 1, count), frame.scene, state))
    if gaps:
        raise DataError(f'{folder}: {_describe(gaps, len(frames))}')
    return sizes


def _describe(gaps: Sequence[_Gap], total: int, named: int = 5) -> str:
    faults = Counter(gap.fault for gap in gaps)
    kinds = ', '.join(f'{number} {fault}' for fault, number in faults.items())
    scenes: dict[Shard, list[str]] = defaultdict(list)
    for gap in gaps:
        scenes[gap.shard].append(gap.scene)
    owed = [
        f'--shard {shard} ({len(missing)} of {_some([*dict.fromkeys(missing)], 3)})'
        for shard, missing in sorted(scenes.items(), key=lambda item: item[0].index)
    ]
    return f'{len(gaps)} of {total} labels are not as they should be ({kinds}); run again {_some(owed, named)}'


def _some(names: Sequence[str], limit: int) -> str:
    """The first few names, and the number of further ones."""
    more = f' and {len(names) - limit} more' if len(names) > limit else ''
    return ', '.join(names[:limit]) + more
