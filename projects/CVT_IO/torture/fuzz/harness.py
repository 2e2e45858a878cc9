"""One target on the bench: what both fuzzers hand their inputs to."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from .guard import BrokenPromise, Guard
from .ledger import Ledger
from .targets import Target

#: By PyTorch and Python for some error messages, text encodings and kinds of tensors.
_IMPORTED_LATE = (
    'encodings.punycode',
    'encodings.raw_unicode_escape',
    'torch._subclasses.schema_check_mode',
    'torch.nested._internal.ops',
)


class Harness:
    """Reads a target's inputs under guard, and books them.

    Args:
        target: what reads.
        folder: for the ledger, and scratch.
        make_guard: the guard itself, with other bounds perhaps.
    """

    def __init__(self, target: Target, folder: Path, make_guard: Callable[..., Guard] = Guard) -> None:
        scratch = folder / 'scratch'
        scratch.mkdir()
        self._target = target
        self._ledger = Ledger(folder)
        self._read = target.make_reader(scratch)
        self._guard = make_guard(scratch, target.suffix, target.may_write, target.may_claim)
        self._warm_up()

    def _warm_up(self) -> None:
        """Has whatever is imported or built on first use there by then; what comes later is a file's doing."""
        warnings.simplefilter('ignore')  # showing one opens source files
        Image.init()
        for name in _IMPORTED_LATE:
            importlib.import_module(name)
        for seed in self._target.seeds:
            for data in (seed, seed[: len(seed) // 2]):
                self._guard.input.write_bytes(self._target.wrap(data))
                with contextlib.suppress(Exception):  # under guard they come again
                    self._read(self._guard.input)

    def try_one(self, data: bytes) -> None:
        """Has one input read.

        Raises:
            BrokenPromise: the reader did what it must not; that is in the ledger by then.
        """
        file = self._target.wrap(data)
        self._ledger.begin()
        try:
            self._guard.check(self._read, file)
        except BrokenPromise as problem:
            self._ledger.found(str(problem), file)
            raise
