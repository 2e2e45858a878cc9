"""Duration of the training steps of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from .logs import Run


@dataclass(frozen=True)
class Stretch:
    """Steps ``first`` to ``last``, with their mean time in seconds per step."""

    first: int
    last: int
    seconds: float


@dataclass(frozen=True)
class TrainTime:
    """Statistics of the time per step, in seconds.

    Attributes:
        mean, median, std: over the stretches, each a logged row with the mean over its steps.
        slowest, fastest: the extreme stretches.
        total: duration of all logged steps, including first rows but not validations.
        first, last: range of the steps in ``total``.
    """

    mean: float
    median: float
    std: float
    slowest: Stretch
    fastest: Stretch
    total: float
    first: int
    last: int


def train_time(run: Run, include_outliers: bool = False) -> TrainTime:
    """Summarises the key ``time`` of the training rows.

    Args:
        run: the log.
        include_outliers: whether to include the first row of each start, which contains the warm-up.
    """
    if not run.training:
        raise DataError(f'{run.name}: expected training rows, found only validations')
    steps, seconds = run.curve('time')
    if not np.isfinite(seconds).all():
        raise DataError(f'{run.name}: expected finite times, found {seconds[~np.isfinite(seconds)][0]}')
    interval = int(np.median(np.diff(steps))) if len(steps) > 1 else steps[0]
    lengths = np.diff(steps, prepend=max(steps[0] - interval, 0))
    rows = [
        Stretch(int(step - length + 1), int(step), float(value))
        for step, length, value in zip(steps, lengths, seconds, strict=True)
    ]
    kept = [row for row in rows if include_outliers or row.last not in run.starts]
    if not kept:
        raise DataError(f'{run.name}: only first rows of a start, which contain its warm-up; include outliers')
    times = np.array([row.seconds for row in kept])
    return TrainTime(
        mean=float(times.mean()),
        median=float(np.median(times)),
        std=float(times.std()),
        slowest=max(kept, key=lambda row: row.seconds),
        fastest=min(kept, key=lambda row: row.seconds),
        total=float(lengths @ seconds),
        first=rows[0].first,
        last=rows[-1].last,
    )
