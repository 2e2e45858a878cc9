"""Plots of training curves."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from ..errors import DataError
from ..fileio.atomic import write_result
from .curve_report import SOURCE, STANDING, headline
from .curves import IOU_KEYS, NOTES_LOSS_STEPS, Comparison
from .logs import Run

# Those of Okabe & Ito's colours, safe for colour-blind readers, that stand out on white.
COLORS = ('#D55E00', '#0072B2', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
RUN, NOTES, FAINT = COLORS[0], COLORS[1], '#666666'
#: 10 × 7.5 inches: 1400 × 1050 pixels.
DPI = 140
_THOUSANDS = FuncFormatter(lambda step, _: f'{step:,.0f}')
_DECIMALS = FuncFormatter(lambda value, _: f'{value:g}')


def plot_curves(
    runs: Sequence[Run], keys: Sequence[str], legend: Sequence[str], title: str | None = None, smooth: int = 1
) -> Figure:
    """Plots one panel per key with a curve for each run.

    Args:
        runs: logs.
        keys: keys of the log rows.
        legend: labels for each run and key, starting with all keys of the first run.
        title: title of the figure.
        smooth: window of the running mean in logged points; the original points remain faintly visible.
    """
    if len(legend) != len(runs) * len(keys):
        raise DataError(f'legend: expected {len(runs) * len(keys)} labels (logs × keys), found {len(legend)}')
    height = 7.5 if len(keys) < 3 else 2.5 * (len(keys) + 1)
    figure, axes = plt.subplots(
        len(keys), sharex=True, squeeze=False, figsize=(10, height), dpi=DPI, layout='constrained'
    )
    for k, (ax, key) in enumerate(zip(axes[:, 0], keys, strict=True)):
        for i, run in enumerate(runs):
            steps, values = run.curve(key)
            color, label = COLORS[i % len(COLORS)], legend[i * len(keys) + k]
            if smooth > 1:
                ax.plot(steps, values, color=color, linewidth=0.8, alpha=0.3)
            marker = '.' if len(steps) < 100 else None
            ax.plot(steps, running_mean(values, smooth), color=color, linewidth=1.6, marker=marker, label=label)
        ax.set_ylabel(key)
        _legend_above(ax)
    _finish(figure, 'step')
    if title:
        figure.suptitle(title)
    return figure


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over the last ``window`` values, or fewer at the start; (n,) → (n,)."""
    return np.array([values[max(end - window, 0) : end].mean() for end in range(1, len(values) + 1)])


def plot_comparison(comparison: Comparison) -> Figure:
    """Plots IoU (top) and training loss (bottom) of a run and of the notes."""
    figure, (above, below) = plt.subplots(
        2, sharex=True, figsize=(10, 7.5), dpi=DPI, layout='constrained', height_ratios=(3, 2)
    )
    run, notes = comparison.run, comparison.notes
    name = Path(run.name).resolve().name
    end = _end(comparison)
    above.set_xlim(0, end)
    for side, color, label in ((notes, NOTES, f'{notes.name} (notes)'), (run, RUN, name)):
        iou = side.iou['iou_050']
        above.plot(iou.steps, iou.values, color=color, label=label, marker='.', markersize=5, linewidth=1.6)
        if side.collapse is not None and side.collapse.by < end:
            _mark((above, below), side.collapse.after, side.collapse.by, color, f'{label} collapses')
    if comparison.verdict in STANDING and comparison.window is not None:
        _mark((above, below), *comparison.window, FAINT, 'means compared')
    below.plot(notes.loss.steps, notes.loss.values, color=NOTES, linewidth=1.6)
    loss = run.loss.means(np.arange(NOTES_LOSS_STEPS, end + NOTES_LOSS_STEPS, NOTES_LOSS_STEPS), NOTES_LOSS_STEPS)
    below.plot(loss.steps, loss.values, color=RUN, linewidth=1.6)
    above.set_ylim(bottom=-0.01)
    above.set_ylabel(f'{IOU_KEYS["iou_050"]} (visibility mask)')
    below.set_ylabel(f'training loss, means of {NOTES_LOSS_STEPS} steps')
    below.set_yscale('log')
    below.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    below.yaxis.set_major_formatter(_DECIMALS)
    below.yaxis.set_minor_formatter(_DECIMALS)
    below.tick_params(axis='y', which='minor', labelsize='medium')
    _legend_above(above)
    _finish(figure, 'optimizer steps of 20 samples')
    figure.suptitle(f'{name}: {headline(comparison)}', x=0.01, ha='left', fontsize=13, fontweight='bold')
    figure.supxlabel(f'{notes.name}: {SOURCE}', x=0.01, ha='left', fontsize=8, color=FAINT)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure in the format of the suffix, e.g. .png or .pdf."""
    known = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise DataError(f'{path}: expected a name that ends in one of .{", .".join(sorted(known))}')
    content = BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower())
    write_result(path, content.getvalue())


def _end(comparison: Comparison) -> float:
    """Right end of the axis: twice the length of the run, or the end of the notes if that is earlier."""
    ours = max(curve.steps[-1] for curve in (comparison.run.iou['iou_050'], comparison.run.loss) if curve.steps.size)
    return max(ours, min(2 * ours, comparison.notes.iou['iou_050'].steps[-1]), NOTES_LOSS_STEPS) * 1.01


def _mark(axes: Sequence[Axes], first: float, last: float, color: str, label: str) -> None:
    """Marks a range of steps behind the curves."""
    for ax in axes:
        ax.axvspan(first, last, color=color, alpha=0.18, linewidth=0, zorder=1, label=label)


def _legend_above(ax: Axes) -> None:
    longest = max(len(label) for label in ax.get_legend_handles_labels()[1])
    columns = max(min(4, 110 // (longest + 8)), 1)
    ax.legend(loc='lower left', bbox_to_anchor=(0, 1), ncols=columns, frameon=False, borderaxespad=0.2)


def _finish(figure: Figure, unit: str) -> None:
    for ax in figure.axes:
        ax.grid(color='#DDDDDD', linewidth=0.8)
        ax.set_axisbelow(True)
        ax.spines[['top', 'right']].set_visible(False)
    figure.align_ylabels()
    figure.axes[-1].set_xlabel(unit)
    figure.axes[-1].xaxis.set_major_locator(MaxNLocator('auto', integer=True, steps=[1, 2, 2.5, 5, 10]))
    figure.axes[-1].xaxis.set_major_formatter(_THOUSANDS)
