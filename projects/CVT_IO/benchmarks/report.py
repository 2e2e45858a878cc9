"""The table of targets as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from .targets import Result

_HEADER = '| | found | target | reached | medians |\n| --- | --: | --: | --- | --- |'
_REACHED = {True: 'yes', False: '**no**', None: 'not measured'}


def markdown(results: Sequence[Result], machine: str, samples: int) -> str:
    """A table of results, followed by the measurement conditions."""
    rows = '\n'.join(_row(result) for result in results)
    return f'{_HEADER}\n{rows}\n\nMedians of {samples} rounds in which both sides are called in turn; {machine}.\n'


def _row(result: Result) -> str:
    found = '–' if result.found is None else f'{result.found:.3g}' if result.at_least else f'{result.found:.4f}'
    target = f'≥ {result.limit:g}' if result.at_least else f'≤ {result.limit:g}'
    return f'| {result.what} | {found} | {target} | {_REACHED[result.reached]} | {result.note} |'
