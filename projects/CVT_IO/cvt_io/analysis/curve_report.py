"""A comparison of :mod:`.curves` as text, as a table, and as plain data for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from .curves import TOLERANCE, WINDOW, Collapse, Comparison, Verdict

SOURCE = 'logs of the original runs, public repository Doctor-James/cvt_io (2022, MIT): nuScenes v1.0, vehicles'
#: Caveats about logged runs of the notes.
CAVEATS = {
    'cvt_io_v1_1': 'its log begins from an earlier checkpoint, so it has seen more samples than its steps say',
    'cvt_io_v2_6_rerun': 'it never rose from IoU 0',
}
TABLE_ROWS = 12
STANDING = {Verdict.AHEAD: 'ahead of', Verdict.LEVEL: 'level with', Verdict.BEHIND: 'behind'}


def headline(comparison: Comparison) -> str:
    """The verdict as one line."""
    run, notes = comparison.run, comparison.notes.name
    match comparison.verdict:
        case Verdict.COLLAPSED if run.collapse is not None:
            return f'collapsed {when(run.collapse)}'
        case Verdict.UNDECIDED:
            return f'undecided: no validation within the steps that {notes} logged'
        case Verdict.NOT_LEARNING:
            iou = run.iou['iou_050']
            return f'not learning: IoU@0.50 still {iou.values[-1]:.3f} at step {iou.steps[-1]:,}'
        case verdict:
            figures = f'IoU@0.50 {comparison.run_iou:.3f} against {comparison.notes_iou:.3f}'
            return f'{STANDING[verdict]} {notes} at step {comparison.step:,}: {figures}'


def remarks(comparison: Comparison) -> list[str]:
    """Details beyond the verdict."""
    name = comparison.notes.name
    lines = []
    if comparison.notes_collapse is not None:
        lines.append(f'{name} itself had collapsed {when(comparison.notes_collapse)}')
    if name in CAVEATS:
        lines.append(f'{name}: {CAVEATS[name]}')
    if comparison.verdict in STANDING:
        lines.append(f'means of the last {WINDOW} common validations; level is a difference of up to {TOLERANCE}')
    known = ' (assumed, as there is no config next to the log)' if comparison.samples_assumed else ''
    lines.append(f'steps are optimizer steps of 20 samples; a step of the run has {comparison.samples_per_step}{known}')
    return lines


def when(collapse: Collapse) -> str:
    """The time of a collapse as text."""
    return f'between steps {collapse.after:,} and {collapse.by:,}' if collapse.after else f'by step {collapse.by:,}'


def table(comparison: Comparison) -> str:
    """The latest common validations and training losses, side by side."""
    blocks = []
    for title, rows in (('validations', validation_rows(comparison)), ('training losses', training_rows(comparison))):
        if rows:
            shown = rows[-TABLE_ROWS:]
            blocks.append(f'Last {len(shown)} of {len(rows)} common {title}\n{_aligned(shown)}')
    return '\n\n'.join(blocks)


def validation_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """IoUs at the validations of the run within the notes' steps; ``None`` for NaN or missing values."""
    steps = comparison.run.iou['iou_050'].steps
    columns = {'step': steps}
    for field, ours in comparison.run.iou.items():
        columns[f'run_{field}'] = ours.at(steps)
        columns[f'notes_{field}'] = comparison.notes.iou[field].at(steps)
    return [row for row in _rows(columns) if row['notes_iou_050'] is not None]


def training_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Training losses at the steps of the notes, means over 500 steps; ``None`` for NaN."""
    steps, ours, theirs = comparison.training_losses()
    return _rows({'step': steps, 'run_loss': ours, 'notes_loss': theirs})


def as_data(comparison: Comparison) -> dict[str, Any]:
    """Plain values for JSON, without NaN."""
    return {
        'run': comparison.run.name,
        'notes': comparison.notes.name,
        'verdict': str(comparison.verdict),
        'headline': headline(comparison),
        'remarks': remarks(comparison),
        'step': comparison.step,
        'window': comparison.window,
        'samples_per_step': comparison.samples_per_step,
        'samples_assumed': comparison.samples_assumed,
        'run_iou_050': _plain(comparison.run_iou),
        'notes_iou_050': _plain(comparison.notes_iou),
        'run_collapse': comparison.run.collapse and asdict(comparison.run.collapse),
        'notes_collapse': comparison.notes_collapse and asdict(comparison.notes_collapse),
        'validation': validation_rows(comparison),
        'training': training_rows(comparison),
        'source': SOURCE,
    }


def _rows(columns: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, map(_plain, row), strict=True)) for row in values]


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _aligned(rows: Sequence[dict[str, Any]]) -> str:
    """Formats a table with right-aligned columns."""
    lines = ['  '.join(f'{head:>9}' for head in rows[0])]
    for step, *values in (row.values() for row in rows):
        cells = [f'{step:,}'] + ['–' if value is None else f'{value:.4f}' for value in values]
        lines.append('  '.join(f'{cell:>{max(len(head), 9)}}' for head, cell in zip(rows[0], cells, strict=True)))
    return '\n'.join(lines)
