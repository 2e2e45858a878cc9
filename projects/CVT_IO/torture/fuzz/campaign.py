"""The fuzzers on all targets, and what they count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..outcome import Outcome
from .guided import is_available, start_guided
from .ledger import Ledger
from .structured import book_death, fuzz_structured
from .targets import Target, all_targets

#: Inputs that the long form has at least.
TOTAL = 100_000
#: Inputs of a target of weight 1, by Hypothesis and by Atheris.
_FULL, _SHORT = (1500, 11_500), (40, 0)
#: After which Atheris ends its search for a target, however far it came.
_SECONDS = 150


def planned(target: Target, full: bool) -> int:
    """How many inputs a target is to get."""
    return sum(_shares(target, full))


def _shares(target: Target, full: bool) -> tuple[int, int]:
    structured, guided = _FULL if full else _SHORT
    return round(structured * target.weight), round(guided * target.weight)


def run(folder: Path, full: bool) -> Iterator[Outcome]:
    """Every target by both fuzzers, more than 100,000 inputs (short form: by Hypothesis alone, a few hundred)."""
    targets = all_targets(folder)
    total = 0
    for target in targets.values():
        ledger = fuzz_structured(target, _shares(target, full)[0], _new(folder, 'structured', target.name))
        total += ledger.tried
        yield _outcome(f'{target.name}, by structure', ledger)
    if not full:
        return
    if is_available():
        for target in targets.values():
            ledger = _guided(target, _shares(target, full)[1], _new(folder, 'guided', target.name))
            total += ledger.tried
            yield _outcome(f'{target.name}, by coverage', ledger)
    else:
        print('fuzz: not guided by coverage: Atheris, which has no wheel for this platform, is not installed')
    yield Outcome(f'inputs of {TOTAL:,} that were to be tried', TOTAL, min(total, TOTAL), f'{total:,} were')


def _guided(target: Target, runs: int, folder: Path) -> Ledger:
    ledger = Ledger(folder)
    code = start_guided(target.name, runs, folder, _SECONDS)
    if code or not ledger.tried:
        book_death(ledger, folder, code)
    return ledger


def _new(folder: Path, kind: str, name: str) -> Path:
    place = folder / kind / name.replace(' ', '_')
    place.mkdir(parents=True)
    return place


def _outcome(what: str, ledger: Ledger) -> Outcome:
    return Outcome(what, ledger.tried, max(ledger.tried - ledger.broken, 0), '; '.join(ledger.problems()))
