"""Prints latencies."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table


def print_table(summaries: Mapping[str, Mapping], base: str, title: str) -> None:
    """Prints summaries of :class:`Timing` by name, with ratios to ``base``."""
    table = Table('model', title=title, title_justify='left')
    for column in ('median ms', 'p10', 'p90', f'of {base}', 'peak MiB'):
        table.add_column(column, justify='right')
    for name, row in summaries.items():
        peak = 'unknown' if row['peak_mib'] is None else f'{row["peak_mib"]:.0f}'
        times = (f'{row[key]:.1f}' for key in ('median_ms', 'p10_ms', 'p90_ms'))
        table.add_row(name, *times, f'{row["ratio"]:.3f}', peak)
    Console(width=120).print(table)
