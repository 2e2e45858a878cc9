"""Atheris (libFuzzer): changes led by which branches of the readers they reach.

libFuzzer takes its process over and Python's modules must be instrumented while they are imported, so each target runs
in a fresh interpreter: this file, as a script.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from types import ModuleType

REPOSITORY = Path(__file__).resolve().parents[4]
#: The plug-in, and what its readers stand on as far as it is Python.
_INSTRUMENTED = ['projects', 'http', 'json', 'pickle', 'urllib', 'zipfile']
_LONGEST = 8192
#: Seconds until everything is imported, on a machine that is busy with other things.
_START = 120


def is_available() -> bool:
    """Whether Atheris is installed; it exists for some platforms only."""
    return importlib.util.find_spec('atheris') is not None


def start_guided(target: str, runs: int, folder: Path, seconds: int) -> int:
    """Fuzzes a target of :func:`all_targets` in a process of its own; its ledger is in ``folder``.

    Args:
        target: name.
        runs: inputs.
        folder: empty.
        seconds: after which no more inputs are tried.

    Returns:
        the process's exit code; negative: the signal that ended it.
    """
    command = [sys.executable, __file__, target, str(runs), str(folder), str(seconds)]
    with (folder / 'output.txt').open('wb') as output:
        environment = os.environ | {'OMP_NUM_THREADS': '1'}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=folder)
        try:
            return process.wait(seconds + _START)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _fuzz(atheris: ModuleType, name: str, runs: int, folder: Path, seconds: int) -> None:
    with atheris.instrument_imports(include=_INSTRUMENTED):
        from projects.CVT_IO.torture.fuzz.guard import BrokenPromise
        from projects.CVT_IO.torture.fuzz.harness import Harness
        from projects.CVT_IO.torture.fuzz.targets import all_targets
    target = all_targets(folder)[name]
    harness = Harness(target, folder)
    corpus = folder / 'corpus'
    corpus.mkdir()
    for index, seed in enumerate(target.seeds):
        (corpus / str(index)).write_bytes(seed)
    words = folder / 'words.txt'
    words.write_text(''.join(f'"{_escaped(word)}"\n' for word in target.words))

    def try_one(data: bytes) -> None:
        with contextlib.suppress(BrokenPromise):  # it is booked; the search goes on
            harness.try_one(data)

    def change(data: bytes, longest: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < 0.5:
            return atheris.Mutate(data, longest)
        return target.mutate(rng, data)[:longest]

    arguments = [
        f'-runs={runs}',
        f'-max_total_time={seconds}',
        '-seed=1',
        f'-max_len={max(_LONGEST, *map(len, target.seeds))}',
        '-rss_limit_mb=4096',
        '-timeout=0',  # the guard's own bound: one alarm clock is all that a process has
        *([f'-dict={words}'] if target.words else []),
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *arguments], try_one, custom_mutator=change)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    """As libFuzzer's dictionaries have it."""
    return ''.join(f'\\x{byte:02x}' for byte in word)


if __name__ == '__main__':
    sys.path[0] = str(REPOSITORY)
    import atheris

    _fuzz(atheris, sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
