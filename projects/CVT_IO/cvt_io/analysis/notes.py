"""Figures of the original experiment notes, as data.

Source: the notes' table, and the logs of the original runs (public repository Doctor-James/cvt_io, 2022, MIT):
measurements on nuScenes v1.0-trainval, vehicles, two GPUs with batch 10 each. Steps are optimizer steps of 20 samples.
The log of ``cvt_io_v1_1`` starts from an earlier checkpoint; ``cvt_io_v2_6_rerun`` is a second run of ``cvt_io_v2_6``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

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


@cache
def notes_table() -> dict[str, NotesRow]:
    """The notes' table by config name, in the original order; ``cvt`` is the baseline."""
    with (_DATA / 'notes_table.csv').open(newline='') as file:
        _, *table = csv.reader(file)
    return {name: NotesRow(*(float(value) if value else None for value in values)) for name, *values in table}


@cache
def validation_curves() -> dict[str, np.recarray]:
    """Validations of each logged run by column: step, IoUs with the visibility mask and over all pixels, loss."""
    return _curves('notes_val_curves.csv')


@cache
def training_curves() -> dict[str, np.recarray]:
    """Mean and maximum of the training loss over ten logged points (500 steps) up to ``step``, of each logged run."""
    return _curves('notes_train_curves.csv')


def _curves(name: str) -> dict[str, np.recarray]:
    rows = np.genfromtxt(_DATA / name, delimiter=',', names=True, dtype=None, encoding='utf-8').view(np.recarray)
    return {run: rows[rows.run == run] for run in dict.fromkeys(rows.run.tolist())}
