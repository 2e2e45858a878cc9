"""Ways to damage a file, and the count of what became of it."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from ..cvt_io.errors import DataError
from .outcome import Outcome

#: Seconds after which a trial hangs.
PATIENCE = 20
#: What may become of a damaged file: an error of ours, what was there before, or other values of the same kind.
REFUSED, SAME, OTHER = 'refused', 'same', 'other values'

#: Says what became of a file: one of these words, or what went wrong.
Trial = Callable[[], str]


def tally(what: str, trials: Iterable[Trial], allowed: set[str]) -> Outcome:
    """Runs trials; those that end in an allowed way have survived."""
    ends: dict[str, int] = {}
    for trial in trials:
        try:
            with _patience(), _silence():
                end = trial()
        except Exception as error:  # whatever it is, it is not ours
            end = f'{type(error).__name__}: {error!s:.100}'
        ends[end] = ends.get(end, 0) + 1
    good = sum(number for end, number in ends.items() if end in allowed)
    worst_first = sorted(ends, key=allowed.__contains__)[:4]
    return Outcome(what, sum(ends.values()), good, ', '.join(f'{ends[end]} {end}' for end in worst_first))


@contextmanager
def _patience() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f'no end after {PATIENCE} s')

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps back what is logged of broken frames, and what libjpeg prints of JPEGs."""
    sys.stderr.flush()
    kept = os.dup(2)
    logging.disable(logging.ERROR)
    with Path(os.devnull).open('wb') as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        logging.disable(logging.NOTSET)


def refusal(error: DataError, file: Path) -> str:
    """``REFUSED`` if the error is one line that names the file."""
    return REFUSED if str(file) in str(error) and '\n' not in str(error) else f'an unclear error: {error!s:.200}'


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    """One bit changed."""
    flipped = bytearray(data)
    flipped[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


def hole(data: bytes, rng: np.random.Generator) -> bytes:
    """Up to 511 bytes set to zero."""
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 512))
    return (data[:start] + bytes(length) + data[start + length :])[: len(data)]


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Every key and index within a value; of lists the first two, which stand for all."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, *path, key)
    elif isinstance(value, list):
        for index, inner in enumerate(value[:2]):
            yield from places(inner, *path, index)


def with_value(content: dict, place: tuple[str | int, ...], value: Any) -> bytes:
    """JSON with another value at a place; the empty tuple deletes what is there."""
    changed = record = json.loads(json.dumps(content))
    for key in place[:-1]:
        record = record[key]
    if value == ():
        del record[place[-1]]
    else:
        record[place[-1]] = value
    return json.dumps(changed).encode()
