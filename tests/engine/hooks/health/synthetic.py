"""Curves with known faults."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator

from projects.CVT_IO.cvt_io.engine.hooks.health import HealthDetector, Thresholds

Row = tuple[int, float]


def healthy_loss(steps: int, sigma: float, seed: int, every: int = 1) -> Iterator[Row]:
    """A falling loss with log-normal noise on each row."""
    draw = random.Random(seed)
    for step in range(every, steps + 1, every):
        yield step, 0.03 * (0.2 + 0.8 * math.exp(-6 * step / steps)) * math.exp(draw.gauss(0, sigma))


def changed(rows: Iterable[Row], factor: Callable[[int], float]) -> Iterator[Row]:
    """The same rows, multiplied by a function of the step."""
    return ((step, value * factor(step)) for step, value in rows)


def alarms(
    rows: Iterable[Row], max_iters: int, column: str = 'loss', thresholds: Thresholds | None = None
) -> list[tuple[str, int]]:
    """Rules that opened, and when."""
    detector = HealthDetector(max_iters, thresholds)
    return [(str(alarm.rule), alarm.step) for step, value in rows for alarm in detector.update(step, **{column: value})]
