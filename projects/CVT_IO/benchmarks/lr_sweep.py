"""Sensitivity of a model's loss to the learning rate, for several depths and shared or separate weights."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..cvt_io.analysis.figures import COLORS, DPI
from ..cvt_io.analysis.logs import Run
from ..cvt_io.analysis.markdown import markdown_table, show
from .toy_runs import ToyRun

RATES = (3e-4, 1e-3, 4e-3, 1e-2)
DEPTHS = (6, 12, 24)
#: Model → prefix of ``depth`` and ``shared`` in its config; ``cvt`` has no passes.
MODELS = {'cvt_io_v3': 'model.neck.latents', 'cvt_io_v2_2': 'model.neck', 'cvt': None}
_SETTINGS = {
    'default_hooks.logger.interval': 10,
    'train_dataloader.batch_size': 4,
    'train_cfg.base_batch_size': 4,
    'val_dataloader.dataset.indices': 80,  # enough to see a collapse
}
_TAIL = 0.1  # share of the steps over which the final loss is the mean


def plan(models: Sequence[str], rates: Sequence[float], depths: Sequence[int]) -> list[ToyRun]:
    """All runs, starting with the depth and weights of the notes, on which the models are compared."""
    runs = [_run(model, rate, depths[0], True) for model, rate in product(models, rates)]
    for depth, shared, model, rate in product(depths, (True, False), models, rates):
        if MODELS[model] and (depth, shared) != (depths[0], True):
            runs.append(_run(model, rate, depth, shared))
    return runs


def _run(model: str, rate: float, depth: int, shared: bool) -> ToyRun:
    where = MODELS[model]
    options = _SETTINGS | {'optim_wrapper.optimizer.lr': rate}
    if where is None:
        return ToyRun(f'{model}-lr{rate:g}', model, options=options)
    options |= {f'{where}.depth': depth, f'{where}.shared': shared}
    return ToyRun(f'{model}-L{depth}-{"shared" if shared else "own"}-lr{rate:g}', model, options=options)


def summary(run: ToyRun, log: Run, work_dir: Path) -> dict[str, Any]:
    """Setting and outcome of a finished run: losses, IoU and the health hook's alarms."""
    _, losses = log.curve('loss')
    record, where = work_dir / 'health.json', MODELS[run.model]
    alarms = json.loads(record.read_text())['alarms'] if record.is_file() else []
    return dict(
        model=run.model,
        lr=run.options['optim_wrapper.optimizer.lr'],
        depth=run.options.get(f'{where}.depth'),
        shared=run.options.get(f'{where}.shared'),
        first_loss=float(losses[0]),
        last_loss=float(np.mean(losses[-max(round(_TAIL * len(losses)), 1) :])),
        iou=log.validation[max(log.validation)]['vehicle/IoU@0.50'],
        alarms=[f'step {alarm["step"]}: {alarm["rule"]}' for alarm in alarms],
    )


def lr_sensitivity(losses: Sequence[float], first: float) -> float:
    """Mean deviation from the best loss over the rates; a diverged run counts with its initial loss.

    Args:
        losses: final loss at each rate; not finite if it diverged.
        first: loss at initialisation.

    Source: Wortsman et al., Small-scale proxies for large-scale Transformer training instabilities, 2023, section 2.2.
    """
    capped = np.minimum(np.nan_to_num(np.asarray(losses, float), nan=np.inf), first)
    return float(capped.mean() - capped.min())


def by_setting(results: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Runs by label (model, depth and kind of weights), in ascending order of the rate."""
    groups = defaultdict(list)
    for result in sorted(
        results.values(), key=lambda run: (run['model'], run['depth'] or 0, not run['shared'], run['lr'])
    ):
        weights = {True: ', shared', False: ', own', None: ''}[result['shared']]
        groups[result['model'] + (f', L = {result["depth"]}{weights}' if result['depth'] else '')].append(result)
    return dict(groups)


def markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """A row per setting: final loss and IoU at each rate, and the sensitivity."""
    rates = sorted({result['lr'] for result in results.values()})
    rows = []
    for label, group in by_setting(results).items():
        found = {result['lr']: f'{result["last_loss"]:.4f} ({result["iou"]:.2f})' for result in group}
        whole = show(_sensitivity(group) if len(group) == len(rates) else None, '{:.4f}')
        rows.append([label, *(found.get(rate, '–') for rate in rates), whole])
    lines = markdown_table(['', *(f'{rate:g}' for rate in rates), 'LR sensitivity'], rows)
    return '\n'.join(lines) + '\n\nFinal training loss (IoU@0.50 on 80 unseen frames) by peak learning rate.\n'


def plot(results: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Plots the final loss over the rate: one panel per model, one curve per depth and kind of weights."""
    models = [model for model in MODELS if any(result['model'] == model for result in results.values())]
    figure = Figure(figsize=(4 * len(models), 4), dpi=DPI, layout='constrained')
    axes = figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)
    for model, ax in zip(models, axes[0], strict=True):
        groups = [(label, group) for label, group in by_setting(results).items() if group[0]['model'] == model]
        for color, (label, group) in zip(COLORS, groups, strict=False):
            name = label.removeprefix(model).removeprefix(', ') or model
            losses = [min(result['last_loss'], result['first_loss']) for result in group]
            style = '--' if group[0]['shared'] is False else '-'
            text = f'{name}: {_sensitivity(group):.4f}'
            ax.plot([result['lr'] for result in group], losses, style, marker='o', color=color, label=text)
        ax.set(xscale='log', yscale='log', xlabel='peak learning rate', title=model)
        ax.legend(title='LR sensitivity', fontsize='small')
        ax.grid(alpha=0.3)
    axes[0, 0].set_ylabel('final training loss')
    return figure


def _sensitivity(group: Sequence[Mapping[str, Any]]) -> float:
    return lr_sensitivity([result['last_loss'] for result in group], max(result['first_loss'] for result in group))
