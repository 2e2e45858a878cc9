"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Iterable[object]], words: int = 1) -> list[str]:
    """Lines of a table; the first ``words`` columns are text, the others numbers."""
    rule = ['---'] * words + ['--:'] * (len(header) - words)
    return ['| ' + ' | '.join(map(str, cells)) + ' |' for cells in (header, rule, *rows)]


def show(value: object, form: str = '{:.3f}', missing: str = '–') -> str:
    """A formatted cell, ``missing`` for None."""
    return missing if value is None else form.format(value)
