"""All models in one table, and the notes' figures next to our own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError
from .complexity import Complexity
from .markdown import markdown_table, show
from .notes import NotesRow, notes_table

IOU_KEY = 'vehicle/IoU@0.50'
BASE = 'cvt'
NOTHING = NotesRow(None, None, None, None)
TOY_TESTS = ('unseen', 'other_world', 'other_frames')


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        config: name of the config.
        complexity: counts of one forward pass.
        iou: our vehicle IoU@0.50 on nuScenes, if measured.
        cost: our timings (``Timing.summary``), if measured.
        toy: vehicle IoU@0.50 on the toy world, for each seed the values of :data:`TOY_TESTS`.
    """

    config: str
    complexity: Complexity
    iou: float | None = None
    cost: Mapping[str, float | int | None] | None = None
    toy: Sequence[Mapping[str, float]] = field(default=())

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


def read_toy(path: Path) -> dict[str, list[dict[str, float]]]:
    """Reads the IoUs of each model and seed from ``table.json`` of ``tools/analysis_tools/toy_benchmark.py``.

    Raises:
        DataError: the file does not exist or is not one of these.
    """
    found: dict[str, list[dict[str, float]]] = {}
    try:
        for run in json.loads(path.read_text())['runs'].values():
            found.setdefault(run['model'], []).append({test: float(run['iou'][test][0]) for test in TOY_TESTS})
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f'{path}: expected table.json of toy_benchmark.py, found {error!r}') from error
    return found


_FOOT = (
    'IoU: vehicles, threshold 0.50, visibility mask. *Notes*: the original experiment notes, nuScenes validation '
    'split. *Toy world*: benchmark toy-1, one value per seed. MACs: multiply-accumulates of one frame.'
)
_NOTES_FOOT = (
    "*Notes*: the original experiment notes, on their GPU. *Ours*: our models counted by the notes' convention, which "
    "leaves out the backbone's convolutions and the attention products. FLOPs are multiply-accumulates."
)


def markdown(rows: Sequence[Row], machine: str | None, mode: str | None) -> str:
    """All models in one table, then the notes' models in a second, each followed by an explanation of its columns."""
    base, timed = base_of(rows), machine is not None
    header = ['config', 'Params', 'MACs', *([f'time, of {base}'] if timed else []), 'IoU, notes']
    measured = any(row.iou is not None for row in rows)
    header += [*(['IoU, nuScenes'] if measured else []), 'IoU, toy world', 'another world', 'images of other frames']
    lines = [*markdown_table(header, [_cells(row, timed, measured) for row in rows]), '', _FOOT]
    if timed:
        lines.append(f'Time: {mode}; medians of the ratios call by call; {machine}.')
    noted = [row for row in rows if row.config in notes_table()]
    if noted:
        header = ['config', 'Params, notes', 'Params, ours', 'FLOPs, notes', 'FLOPs, ours']
        header += ['Cost-Time, notes', f'of {BASE}, notes', *(['Cost-Time, ours', f'of {base}, ours'] if timed else [])]
        lines += ['', *markdown_table(header, [_notes_cells(row, timed) for row in noted]), '', _NOTES_FOOT]
    return '\n'.join(lines) + '\n'


def _cells(row: Row, timed: bool, measured: bool) -> list[str]:
    toy = (' / '.join(f'{seed[test]:.3f}' for seed in row.toy) or None for test in TOY_TESTS)
    return [
        row.config,
        f'{row.complexity.params:,}',
        f'{row.complexity.macs / 1e9:.3f}G',
        *([show(row.cost and row.cost['ratio'], '{:.3f}')] if timed else []),
        show(row.notes.iou, '{:.3g}'),
        *([show(row.iou, '{:.3f}')] if measured else []),
        *(show(value, '{}') for value in toy),
    ]


def _notes_cells(row: Row, timed: bool) -> list[str]:
    notes, count, cost = row.notes, row.complexity, row.cost
    return [
        row.config,
        show(notes.params_k, '{:.2f}K'),
        f'{count.params_notes:,}',
        show(notes.gflops, '{:.4g}G'),
        f'{count.macs_notes / 1e9:.4f}G',
        show(notes.cost_ms, '{:.4g}ms'),
        show(row.notes_ratio(), '{:.3f}'),
        *([show(cost and cost['median_ms'], '{:.0f}ms'), show(cost and cost['ratio'], '{:.3f}')] if timed else []),
    ]


def as_data(rows: Sequence[Row], machine: str | None, mode: str | None) -> dict[str, Any]:
    """Unrounded figures for JSON."""
    models = {
        row.config: dict(
            notes=asdict(row.notes) | dict(cost_ratio=row.notes_ratio()),
            ours=dict(iou_050=row.iou, **asdict(row.complexity), cost=row.cost and dict(row.cost), toy=[*row.toy]),
        )
        for row in rows
    }
    return dict(machine=machine, mode=mode, base=base_of(rows), models=models)
