"""Writes logs as mmengine does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from projects.CVT_IO.cvt_io.analysis import notes


def training_row(step: int, loss: float = 0.02, time: float = 0.5, **more: float) -> dict[str, float]:
    """A row of ``LoggerHook.after_train_iter``."""
    return {'lr': 4e-3, 'data_time': 0.01, 'loss': loss, 'time': time, **more, 'iter': step, 'step': step}


def validation_row(step: int, iou: float, iou_040: float | None = None) -> dict[str, float]:
    """A row of ``LoggerHook.after_val_epoch``."""
    row = {'vehicle/IoU@0.40': iou if iou_040 is None else iou_040, 'vehicle/IoU@0.50': iou}
    return row | {'data_time': 0.001, 'time': 0.07, 'step': step}


def write_log(work_dir: Path, rows: Iterable[dict], timestamp: str = '20260101_120000') -> Path:
    """One start of a run: both of mmengine's files, in ``<work_dir>/<timestamp>/vis_data``; returns the named one."""
    folder = work_dir / timestamp / 'vis_data'
    folder.mkdir(parents=True)
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    (folder / 'scalars.json').write_text(text)
    path = folder / f'{timestamp}.json'
    path.write_text(text)
    return path


def notes_rows(name: str, until: int = 10**9, shift: float = 0.0) -> list[dict]:
    """A run of the notes as if mmengine had logged it, with ``shift`` added to its IoU@0.50.

    The notes' steps count from 0, mmengine's from 1.
    """
    losses, points = notes.training_curves()[name], notes.validation_curves()[name]
    rows = [training_row(int(point.step) + 1, point.mean_loss) for point in losses]
    rows += [validation_row(int(point.step) + 1, point.iou_050 + shift, point.iou_040) for point in points]
    return [row for row in sorted(rows, key=lambda row: row['step']) if row['step'] <= until]


def scaled_steps(rows: Iterable[dict], factor: float) -> list[dict]:
    """The same log of a run whose steps have 1/factor of the samples."""
    counters = ('step', 'iter')
    return [row | {key: int(np.round(row[key] * factor)) for key in counters if key in row} for row in rows]
