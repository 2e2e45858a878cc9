"""Cost tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from .markdown import markdown_table, show
from .scaling import AXES, FIGURES, Cost, Growth

_UNITS = {'time': ('{:.0f} ms', 1), 'memory': ('{:.0f} MiB', 1)}
_GIGA = ('{:.3f} G', 1e9)


def markdown(growths: Sequence[Growth], machine: str, mode: str) -> str:
    """Tables of slopes and of the points they are fitted to, with an explanation."""
    slopes = [
        [AXES[growth.axis].unit, growth.model, *(show(value, '{:z.2f}') for value in growth.exponents().values())]
        for growth in growths
    ]
    points = [
        [AXES[growth.axis].title, cost.label, growth.model, *_cells(cost)]
        for growth in growths
        for cost in growth.costs
    ]
    lines = [
        *markdown_table(['exponent over', 'model', *FIGURES], slopes, words=2),
        '',
        *markdown_table(['what grows', 'to', 'model', *FIGURES], points, words=3),
        '',
        f'Time and peak memory (above the idle size): {mode}, medians; {machine}. MACs: multiply-accumulates of the '
        'whole model, then by part. Exponents: slopes of log-log fits; 0 is constant, 1 proportional, 2 quadratic.',
    ]
    return '\n'.join(lines) + '\n'


def _cells(cost: Cost) -> list[str]:
    cells = []
    for name, value in cost.figures().items():
        form, unit = _UNITS.get(name, _GIGA)
        cells.append(show(None if value is None else value / unit, form))
    return cells
