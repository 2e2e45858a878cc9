"""Checkpoint files that are whole or absent, whatever kills the run or fills the disk."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from ..errors import DataError
from .atomic import write_atomic

MIB = 2**20


class SaveError(DataError):
    """A file of a run cannot be written; what was there before is as it was."""


@register_backend('CVTIODurableBackend')
class CVTIODurableBackend(LocalBackend):
    """mmengine's local files, each written in one step, and removed only once what replaces them is on the disk."""

    def __init__(self) -> None:
        self.outdated: list[str] = []

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Writes a file; raises a :class:`SaveError` that names it and the space that is left."""
        path = Path(filepath)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, obj, durable=True)
        except OSError as error:
            raise SaveError(
                f'{path}: cannot save {len(obj) / MIB:.1f} MiB: {error.strerror or error}{_free_space(path.parent)}; '
                'earlier checkpoints are as they were'
            ) from error

    def remove(self, filepath: str | Path) -> None:
        """Notes a file that is not needed once the next one is there."""
        self.outdated.append(str(filepath))

    def remove_outdated(self, folder: str | Path) -> None:
        """Removes the noted files, of which the names alone count: nothing outside of the folder is touched."""
        for path in self.outdated:
            Path(folder, Path(path).name).unlink(missing_ok=True)
        self.outdated.clear()


@contextmanager
def disk_errors(folder: str | Path) -> Iterator[None]:
    """Turns the error of a full disk, whichever file below a folder met it, into a :class:`SaveError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        where = error.filename or folder
        raise SaveError(f'{where}: cannot write: {error.strerror}{_free_space(Path(folder))}') from error


def _free_space(folder: Path) -> str:
    try:
        return f' ({shutil.disk_usage(folder).free / MIB:,.1f} MiB free in {folder})'
    except OSError:
        return ''
