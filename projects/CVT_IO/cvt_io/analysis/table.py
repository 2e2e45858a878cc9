"""The notes' table next to our own figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from .complexity import Complexity
from .markdown import markdown_table, show
from .notes import NotesRow, notes_table

IOU_KEY = 'vehicle/IoU@0.50'
BASE = 'cvt'
NOTHING = NotesRow(None, None, None, None)


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        config: name of the config.
        complexity: counts of one forward pass.
        iou: our vehicle IoU@0.50, if measured.
        cost: our timings (``Timing.summary``), if measured.
    """

    config: str
    complexity: Complexity
    iou: float | None = None
    cost: Mapping[str, float | int | None] | None = None

    @property
    def notes(self) -> NotesRow:
        """The row of the notes."""
        return notes_table().get(self.config, NOTHING)

    def notes_ratio(self) -> float | None:
        """Cost-Time of the notes relative to their baseline."""
        base, own = notes_table()[BASE].cost_ms, self.notes.cost_ms
        return own / base if own and base else None


def base_of(rows: Sequence[Row]) -> str:
    """The model that our times are relative to: the notes' baseline if present, else the first."""
    names = [row.config for row in rows]
    return BASE if BASE in names or not names else names[0]


def read_result(folder: Path | None, config: str) -> float | None:
    """Reads the IoU from ``<folder>/<config>.json``, written by ``tools/test.py --out``; ``None`` if it does not exist.

    Raises:
        DataError: the file is not one of these.
    """
    path = folder / f'{config}.json' if folder else None
    if path is None or not path.is_file():
        return None
    try:
        return float(json.loads(path.read_text())[IOU_KEY])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f'{path}: expected metrics of tools/test.py --out with {IOU_KEY!r}, found {error!r}') from error


_HEADER = (
    'config', 'IoU@0.50, notes', 'ours', 'Params, notes', 'ours, their way', 'all', 'FLOPs, notes', 'ours, their way',
    'all MACs', 'Cost-Time, notes', f'of {BASE}', 'ours',
)  # fmt: skip


def markdown(rows: Sequence[Row], machine: str | None, mode: str | None) -> str:
    """The table, followed by an explanation of its columns."""
    lines = markdown_table([*_HEADER, f'of {base_of(rows)}'], map(_cells, rows))
    lines += [
        '',
        '*Notes*: the original experiment notes (nuScenes vehicles, validation split, their GPU). *Ours, their way*: '
        "our models counted by the notes' convention, which leaves out the backbone's convolutions and the attention "
        'products; *all*: everything. FLOPs are multiply-accumulates.',
    ]
    if machine is not None:
        lines.append(f'Cost-Time, ours: {mode}; medians, ratios call by call; {machine}.')
    return '\n'.join(lines) + '\n'


def _cells(row: Row) -> list[str]:
    notes, count, cost = row.notes, row.complexity, row.cost
    return [
        row.config,
        show(notes.iou, '{:.3g}'),
        show(row.iou, '{:.3f}', 'not measured'),
        show(notes.params_k, '{:.2f}K'),
        f'{count.params_notes:,}',
        f'{count.params:,}',
        show(notes.gflops, '{:.4g}G'),
        f'{count.macs_notes / 1e9:.4f}G',
        f'{count.macs / 1e9:.3f}G',
        show(notes.cost_ms, '{:.4g}ms'),
        show(row.notes_ratio(), '{:.3f}'),
        show(cost and cost['median_ms'], '{:.0f}ms', 'not measured'),
        show(cost and cost['ratio'], '{:.3f}', 'not measured'),
    ]


def as_data(rows: Sequence[Row], machine: str | None, mode: str | None) -> dict[str, Any]:
    """Unrounded figures for JSON."""
    models = {
        row.config: dict(
            notes=asdict(row.notes) | dict(cost_ratio=row.notes_ratio()),
            ours=dict(iou_050=row.iou, **asdict(row.complexity), cost=row.cost and dict(row.cost)),
        )
        for row in rows
    }
    return dict(machine=machine, mode=mode, base=base_of(rows), models=models)
