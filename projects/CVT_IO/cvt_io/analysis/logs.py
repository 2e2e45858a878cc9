"""Reads the logs that mmengine writes for a run: JSON lines in ``<work folder>/<timestamp>/vis_data/``.

A training row is ``{"lr": …, "loss": …, "time": …, "iter": 50, "step": 50}``, a validation row
``{"vehicle/IoU@0.50": …, "time": …, "step": 1407}``. Both have ``time`` and ``data_time``, so they are kept apart.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError

Rows = dict[int, dict[str, float]]


@dataclass(frozen=True)
class Run:
    """The log of a run over all its starts.

    Attributes:
        name: the path it was read from.
        training: training rows by step, ascending.
        validation: validation rows by step, ascending.
        starts: the first training step logged by each start; a resumed run has several.
        config: dumped config of the last start; may not exist.
    """

    name: str
    training: Rows
    validation: Rows
    starts: list[int]
    config: Path

    def curve(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps (n,) int and values (n,) float of a key, from the training rows if they have it.

        Raises a ``DataError`` that lists the available keys if there is no such key.
        """
        for rows in (self.training, self.validation):
            steps = [step for step, row in rows.items() if key in row]
            if steps:
                return np.array(steps), np.array([rows[step][key] for step in steps])
        raise DataError(f'{self.name}: no key {key!r}, expected one of {", ".join(sorted(self.keys()))}')

    def keys(self) -> set[str]:
        """All keys except the counters."""
        return {key for rows in (self.training, self.validation) for row in rows.values() for key in row} - _COUNTERS

    def samples_per_step(self) -> int | None:
        """``train_cfg.base_batch_size`` of the dumped config, read without executing it; ``None`` if unknown."""
        if not self.config.is_file():
            return None
        try:
            module = ast.parse(self.config.read_text())
            settings, scaling = _plain_values(module, 'train_cfg'), _plain_values(module, 'auto_scale_lr')
        except (SyntaxError, ValueError):
            return None
        if scaling.get('enable'):  # no accumulation, and the config does not have the number of processes
            return None
        batch = settings.get('base_batch_size')
        return batch if isinstance(batch, int) and batch > 0 else None


_COUNTERS = {'step', 'iter', 'epoch'}


def read_run(path: str | Path) -> Run:
    """Reads a run from a log file, or from a work folder with the logs of all its starts.

    A resumed run replaces what it repeats: each start discards the rows of earlier starts from its own first row on,
    since the weights they describe are gone. (:class:`CVTIOLoggerHook` has already removed most of them.) That row may
    be the validation of the last step of an earlier start. A truncated last line is ignored. Validations logged by
    epoch are assigned to the preceding training step.
    """
    files = _log_files(Path(path))
    training: Rows = {}
    validation: Rows = {}
    starts: list[int] = []
    for file in files:
        rows = _place(_read_rows(file))
        if not rows:
            continue
        first = min(step for step, _ in rows)
        first_trained = first if any(step == first and 'iter' in row for step, row in rows) else first + 1
        starts = [start for start in starts if start < first_trained]
        starts += [step for step, row in rows if 'iter' in row][:1]
        training = {step: row for step, row in training.items() if step < first_trained}
        validation = {step: row for step, row in validation.items() if step < first}
        for step, row in rows:
            (training if 'iter' in row else validation).setdefault(step, {}).update(row)
    if not training and not validation:
        raise DataError(f'{path}: expected JSON lines with a step, as mmengine logs them, found none')
    return Run(str(path), _ascending(training), _ascending(validation), starts, files[-1].with_name('config.py'))


def _log_files(path: Path) -> list[Path]:
    """The log of each start, oldest first; mmengine names the folders by time."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f'{path}: no such log file or work folder')
    folders = sorted([*path.glob('*/vis_data'), *path.glob('vis_data')]) or [path]
    # scalars.json has the same rows.
    files = [file for folder in folders for file in sorted(folder.glob('[0-9]*.json')) or folder.glob('scalars.json')]
    if not files:
        raise DataError(f'{path}: expected logs as <timestamp>/vis_data/<timestamp>.json below it, found none')
    return files


def _read_rows(path: Path) -> list[dict[str, float]]:
    """Numeric values of rows with a step. Python's JSON parser accepts NaN and Infinity."""
    rows = []
    lines = path.read_text(errors='replace').splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line.strip() else {}
        except json.JSONDecodeError:
            if number == len(lines) > 1:
                break
            row = None
        if not isinstance(row, dict):
            raise DataError(
                f'{path}, line {number}: expected a JSON object, as mmengine logs them, found {line[:40]!a}'
            )
        if type(row.get('step')) is int:
            rows.append({key: value for key, value in row.items() if type(value) in (int, float)})
    return rows


def _place(rows: Iterable[dict[str, float]]) -> list[tuple[int, dict[str, float]]]:
    """(step, row) pairs; validations of an epoch-based run get the preceding training step."""
    placed = []
    trained, by_epoch = 0, False
    for row in rows:
        step = int(row['step'])
        if 'iter' in row:
            trained, by_epoch = step, 'epoch' in row
        elif by_epoch:
            step = max(step, trained)
        placed.append((step, row))
    return placed


def _ascending(rows: Rows) -> Rows:
    return dict(sorted(rows.items()))


def _plain_values(module: ast.Module, name: str) -> dict[str, object]:
    """Constant values of an assignment ``name = dict(…)``."""
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=ast.Call(keywords=keywords)) if target == name:
                return {k.arg: k.value.value for k in keywords if k.arg and isinstance(k.value, ast.Constant)}
    return {}
