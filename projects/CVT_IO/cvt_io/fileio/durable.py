"""Checkpoint files that stay intact when the run is killed or the disk is full."""

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
    """A file of a run cannot be written; existing files are unchanged."""


@register_backend('CVTIODurableBackend')
class CVTIODurableBackend(LocalBackend):
    """mmengine's local backend with atomic writes; files are removed only once their replacement is on the disk."""

    def __init__(self) -> None:
        self.outdated: list[str] = []

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Writes a file; raises a :class:`SaveError` that names it and the free space."""
        path = Path(filepath)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, obj, durable=True)
        except OSError as error:
            raise SaveError(
                f'{path}: cannot save {len(obj) / MIB:.1f} MiB: {error.strerror or error}{_free_space(path.parent)}; '
                'earlier checkpoints are unchanged'
            ) from error

    def remove(self, filepath: str | Path) -> None:
        """Marks a file for removal by :meth:`remove_outdated`."""
        self.outdated.append(str(filepath))

    def remove_outdated(self, folder: str | Path) -> None:
        """Removes the marked files by name, and only in the folder."""
        for path in self.outdated:
            Path(folder, Path(path).name).unlink(missing_ok=True)
        self.outdated.clear()


@contextmanager
def disk_errors(folder: str | Path) -> Iterator[None]:
    """Turns a full-disk error of any file below a folder into a :class:`SaveError`."""
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
