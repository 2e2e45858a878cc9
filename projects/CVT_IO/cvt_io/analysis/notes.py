"""Figures of the original experiment notes, as data.

Source: the notes' table, and the logs of the original runs (public repository Doctor-James/cvt_io, 2022, MIT):
measurements on nuScenes v1.0-trainval, vehicles, two GPUs with batch 10 each. Steps are optimizer steps of 20 samples.
The log of ``cvt_io_v1_1`` starts from an earlier checkpoint; ``cvt_io_v2_6_rerun`` is a second run of ``cvt_io_v2_6``.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_DATA = Path(__file__).with_name('data')


@dataclass(frozen=True)
class NotesRow:
    """A row of the notes' table; ``None`` for missing values.

    Attributes:
        iou: vehicle IoU@0.50 with the visibility mask, in [0, 1].
        params_k: thousands of parameters, as the notes counted.
        gflops: 10^9 multiply-accumulates, as the notes counted.
        cost_ms: milliseconds per forward pass on their GPU.
    """

    iou: float | None
    params_k: float | None
    gflops: float | None
    cost_ms: float | None


@dataclass(frozen=True)
class ValidationPoint:
    """A validation of a run: IoU at two thresholds, with the visibility mask and over all pixels, and the loss."""

    step: int
    iou_050: float
    iou_040: float
    iou_050_all_pixels: float
    iou_040_all_pixels: float
    val_loss: float


@dataclass(frozen=True)
class TrainingPoint:
    """Training loss over ten logged points (500 steps) up to ``step``."""

    step: int
    mean_loss: float
    max_loss: float


@cache
def notes_table() -> dict[str, NotesRow]:
    """The notes' table by config name, in the original order; ``cvt`` is the baseline."""
    return {
        name: NotesRow(*(float(value) if value else None for value in values))
        for name, *values in _rows('notes_table.csv')
    }


@cache
def validation_curves() -> dict[str, list[ValidationPoint]]:
    """Validations of each logged run, by step."""
    curves = defaultdict(list)
    for run, step, *values in _rows('notes_val_curves.csv'):
        curves[run].append(ValidationPoint(int(step), *map(float, values)))
    return dict(curves)


@cache
def training_curves() -> dict[str, list[TrainingPoint]]:
    """Training losses of each logged run, by step."""
    curves = defaultdict(list)
    for run, step, mean, maximum in _rows('notes_train_curves.csv'):
        curves[run].append(TrainingPoint(int(step), float(mean), float(maximum)))
    return dict(curves)


def _rows(name: str) -> Iterator[list[str]]:
    with (_DATA / name).open(newline='') as file:
        reader = csv.reader(file)
        next(reader)  # the header
        yield from reader
