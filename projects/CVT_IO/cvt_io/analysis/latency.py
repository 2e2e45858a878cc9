"""Interleaved timing of several models."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from .memory import peak_memory

WARM_UP = 3


@dataclass(frozen=True)
class Timing:
    """Measurements of one step.

    Attributes:
        seconds: duration of each call, in order.
        peak_bytes: peak memory of a call; ``None`` where it cannot be measured.
    """

    seconds: list[float]
    peak_bytes: int | None

    def summary(self, base: Timing) -> dict[str, float | int | None]:
        """Summary in ms and MiB; ``ratio`` is the median ratio to the call of ``base`` in the same round."""
        low, median, high = np.percentile(self.seconds, [10, 50, 90])
        return {
            'median_ms': 1e3 * float(median),
            'p10_ms': 1e3 * float(low),
            'p90_ms': 1e3 * float(high),
            'ratio': float(np.median(np.divide(self.seconds, base.seconds))),
            'peak_mib': None if self.peak_bytes is None else self.peak_bytes / 2**20,
            'samples': len(self.seconds),
        }


def time_in_turn(
    steps: Mapping[str, Callable[[], object]],
    samples: int,
    device: torch.device,
    warm_up: int = WARM_UP,
    log_interval: int | None = None,
) -> dict[str, Timing]:
    """Times several steps in turn, A B C A B C …, so that load on the machine affects all equally.

    Args:
        steps: steps to time, by name.
        samples: number of timed rounds.
        device: device of the steps; a GPU is timed with events.
        warm_up: number of untimed calls of each step; one more measures its memory.
        log_interval: print the medians every so many rounds.

    Returns:
        Measurements by name, ``samples`` each.

    Raises:
        ValueError: ``samples`` is not positive.
    """
    if samples < 1:
        raise ValueError(f'samples: expected at least 1, got {samples}')
    clock = functools.partial(_cuda_seconds, device) if device.type == 'cuda' else _seconds
    peaks = {}
    for name, step in steps.items():
        for _ in range(warm_up):
            step()
        peaks[name] = peak_memory(step, device)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for done in track(range(1, samples + 1), 'timing', console=Console(stderr=True), transient=True):
        for name, step in steps.items():
            seconds[name].append(clock(step))
        if log_interval and done % log_interval == 0:
            medians = ', '.join(f'{name} {1e3 * np.median(taken):.1f} ms' for name, taken in seconds.items())
            print(f'{done}/{samples}: {medians}', flush=True)
    return {name: Timing(seconds[name], peaks[name]) for name in steps}


def print_table(summaries: Mapping[str, Mapping], base: str, title: str) -> None:
    """Prints summaries of :class:`Timing` by name, with ratios to ``base``."""
    table = Table('model', title=title, title_justify='left')
    for column in ('median ms', 'p10', 'p90', f'of {base}', 'peak MiB'):
        table.add_column(column, justify='right')
    for name, row in summaries.items():
        peak = 'unknown' if row['peak_mib'] is None else f'{row["peak_mib"]:.0f}'
        times = (f'{row[key]:.1f}' for key in ('median_ms', 'p10_ms', 'p90_ms'))
        table.add_row(name, *times, f'{row["ratio"]:.3f}', peak)
    Console(width=120).print(table)


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _cuda_seconds(device: torch.device, step: Callable[[], object]) -> float:
    with torch.cuda.device(device):  # events belong to the current device
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        step()
        end.record()
        torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3
