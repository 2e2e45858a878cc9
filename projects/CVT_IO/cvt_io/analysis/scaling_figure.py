"""Plots of cost: one column per axis, with rows for time, memory and multiply-accumulates.

All scales are logarithmic. Faint diagonals have slope 1, which means proportional growth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from .figures import COLORS, DPI
from .scaling import AXES, Growth

_STYLES = tuple(zip(COLORS, 'osD^vPX', strict=True))
#: Colours and markers of the first model's parts, other than those of the first two models.
_PARTS = {
    'backbone': (COLORS[6], 'X'),
    'lift': ('#000000', 's'),
    'encode': (COLORS[2], 'D'),
    'process': (COLORS[3], '^'),
    'decode': (COLORS[4], 'v'),
    'BEV decoder, head': (COLORS[5], 'P'),
}
_LABELS = ('time of a forward [ms]', 'peak memory [MiB]', 'multiply-accumulates [G]')
_DIAGONAL = 'slope 1: in proportion'
_PLAIN = FuncFormatter(lambda value, _: f'{value:g}')


def plot_growth(growths: Sequence[Growth], title: str) -> Figure:
    """Plots the measurements.

    Args:
        growths: measurements of all axes, the main model first.
        title: machine and mode of the measurement.
    """
    names = [*dict.fromkeys(growth.axis for growth in growths)]
    models = [*dict.fromkeys(growth.model for growth in growths)]
    figure, axes = plt.subplots(
        3, len(names), sharex='col', sharey='row', squeeze=False,
        figsize=(1 + 2.8 * len(names), 10), dpi=DPI, layout='constrained',
    )  # fmt: skip
    for column, axis in zip(axes.T, names, strict=True):
        for growth in (growth for growth in growths if growth.axis == axis):
            _draw(column, growth, models.index(growth.model))
        column[0].set_title(AXES[axis].title, fontweight='bold')
    for row, label in zip(axes, _LABELS, strict=True):
        row[0].set_ylabel(label)
        for ax in row:
            _finish(ax)
        _diagonals(row)
    _legend(figure, axes[:2], title, 'outside upper left')
    _legend(figure, axes[2:], None, 'outside lower left')
    return figure


def _draw(column: np.ndarray, growth: Growth, index: int) -> None:
    """Draws the lines of a model in the three panels of an axis."""
    rows = [cost.figures() for cost in growth.costs]
    color, marker = _STYLES[index % len(_STYLES)]

    def line(ax: Axes, name: str, label: str, color: str, marker: str, unit: float = 1) -> None:
        values = np.array([row[name] for row in rows], float) / unit  # None becomes NaN, which is not drawn
        style = '--' if index else '-'
        ax.plot([cost.quantity for cost in growth.costs], values, style, color=color, marker=marker, label=label)

    for ax, name in zip(column, ('time', 'memory'), strict=False):
        line(ax, name, growth.model, color, marker)
        slope = growth.exponents()[name]
        if slope is not None:
            ax.text(0.04, 0.97 - 0.09 * index, f'slope {slope:z.2f}', color=color, va='top', transform=ax.transAxes)
    for part, look in _PARTS.items():
        if index == 0 and rows[0][part] is not None:
            line(column[2], part, f'{growth.model}: {part}', *look, unit=1e9)
    if index or rows[0]['encode'] is None:
        line(column[2], 'neck', f'{growth.model}: neck', color, marker, unit=1e9)
    _quantities(column[2], growth)


def _quantities(ax: Axes, growth: Growth) -> None:
    ax.set_xscale('log')
    ax.set_xticks([cost.quantity for cost in growth.costs], [cost.label for cost in growth.costs], rotation=35)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(AXES[growth.axis].unit)


def _finish(ax: Axes) -> None:
    ax.set_yscale('log')
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(_PLAIN)
    ax.yaxis.set_minor_locator(NullLocator())
    ax.grid(axis='y', color='#DDDDDD', linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[['top', 'right']].set_visible(False)


def _diagonals(row: Sequence[Axes]) -> None:
    """Draws lines of slope 1 behind a row of panels without changing their limits."""
    low, high = row[0].get_ylim()
    if low <= 0:  # no values, like memory on some systems
        return
    for ax in row:
        left, right = ax.get_xlim()
        for start in np.arange(np.log10(low / right), np.log10(high / left), 0.5):
            ends = (10**start * left, 10**start * right)
            ax.plot((left, right), ends, color='#BBBBBB', linewidth=0.8, linestyle=':', zorder=0, label=_DIAGONAL)
        ax.set_xlim(left, right)
        ax.set_ylim(low, high)


def _legend(figure: Figure, axes: np.ndarray, title: str | None, place: Any) -> None:
    """Draws a joint legend of several panels without duplicates, the diagonals last."""
    of = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    labels = sorted(of, key=lambda label: label == _DIAGONAL)
    legend = figure.legend([of[label] for label in labels], labels, loc=place, ncols=4, frameon=False, title=title)
    legend.set_alignment('left')
