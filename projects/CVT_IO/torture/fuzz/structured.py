"""Hypothesis: changes of the structure, drawn so that it can shrink what it finds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from random import Random
from signal import Signals

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .guard import BrokenPromise, Guard
from .harness import Harness
from .ledger import Ledger
from .targets import Target


def fuzz_structured(target: Target, runs: int, folder: Path, make_guard: Callable[..., Guard] = Guard) -> Ledger:
    """Has a target read ``runs`` changed files, always the same, in a process of its own; ends at what it finds.

    Returns:
        what was tried and found; the smallest input of each problem lies in ``folder``.
    """
    ledger = Ledger(folder)
    process = get_context('fork').Process(target=_campaign, args=(target, runs, folder, make_guard))
    process.start()
    process.join()
    if process.exitcode or not (folder / 'done').exists():
        book_death(ledger, folder, process.exitcode or 0)
    return ledger


def book_death(ledger: Ledger, folder: Path, code: int) -> None:
    """Books that the process itself ended, with the input that it had."""
    inputs = [*(folder / 'scratch').glob('input*')]
    how = f'ended the process by {Signals(-code).name}' if code < 0 else f'ended the process with exit code {code}'
    ledger.found(how, inputs[0].read_bytes() if inputs else b'')


def _campaign(target: Target, runs: int, folder: Path, make_guard: Callable[..., Guard]) -> None:
    torch.set_num_threads(1)  # the threads of the process of which this one is a copy are not in it
    harness = Harness(target, folder, make_guard)

    @settings(
        max_examples=runs,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(target.seeds), st.randoms(use_true_random=False))
    def trial(seed: bytes, rng: Random) -> None:
        harness.try_one(target.mutate(rng, seed))

    with contextlib.suppress(BrokenPromise, ExceptionGroup):
        for seed in target.seeds:
            harness.try_one(seed)
        trial()
    (folder / 'done').touch()
