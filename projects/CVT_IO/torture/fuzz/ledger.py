"""What a fuzzer has tried and found, in files: its process may be killed at any input."""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

_KEPT = 20


class Ledger:
    """Counts inputs, and keeps those that broke a promise.

    Args:
        folder: for the count and the inputs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / 'count'
        if not path.exists():
            path.write_bytes(bytes(16))
        with path.open('r+b') as file:
            # Memory that is the file's: it survives whatever becomes of the process, and costs no call.
            self._numbers = memoryview(mmap.mmap(file.fileno(), 16)).cast('q')

    @property
    def tried(self) -> int:
        """Inputs that were given to the reader."""
        return self._numbers[0]

    @property
    def broken(self) -> int:
        """Those of them that broke a promise."""
        return self._numbers[1]

    def begin(self) -> None:
        """Another input."""
        self._numbers[0] += 1

    def found(self, problem: str, data: bytes) -> None:
        """The input broke a promise; the smallest one is kept for each kind of problem."""
        self._numbers[1] += 1
        kind = hashlib.sha256(problem.translate({ord(digit): None for digit in '0123456789'})[:60].encode()).hexdigest()
        path = self._folder / f'found-{kind[:8]}.bin'
        known = path.exists()
        if len(self.problems()) < _KEPT if not known else len(data) < path.stat().st_size:
            path.write_bytes(data)
            path.with_suffix('.txt').write_text(problem, errors='replace')

    def problems(self) -> list[str]:
        """One line for each kind of problem, with the file of its input."""
        return [
            f'{" ".join(path.read_text(errors="replace").split())} ({path.with_suffix(".bin")})'
            for path in sorted(self._folder.glob('found-*.txt'))
        ]
