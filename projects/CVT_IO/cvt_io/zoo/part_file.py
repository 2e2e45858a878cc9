"""A file that is not whole yet."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO


class PartFile:
    """``<name>.part`` beside the file that it becomes; kept when a download breaks, so that the next one goes on.

    Open for one writer at a time: it is locked, and a second download of the same file waits for the first, then finds
    the file whole or goes on with its part. (With a name of its own for each, both would fetch all of it, and the next
    one would not know which to go on with.) The kernel drops the lock with its process, so none is left over.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f'{target.name}.part')
        self._etag_path = target.with_name(f'{target.name}.part.etag')

    def __enter__(self) -> PartFile:
        self._file = self._open_locked()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if not self.size:
                self.discard()

    @property
    def size(self) -> int:
        """Bytes so far, all of them in the file."""
        return self._file.seek(0, os.SEEK_END)

    @property
    def etag(self) -> str | None:
        """Validator of the source that the bytes are from."""
        return self._etag_path.read_text(errors='replace') if self._etag_path.is_file() else None

    def restart(self, etag: str | None) -> None:
        """Drops the bytes; the next are from a source with this validator."""
        self._etag_path.unlink(missing_ok=True)
        if self.size:
            self._file.truncate(0)
        if etag is not None:
            self._etag_path.write_text(etag)

    def append(self, data: bytes) -> None:
        """Writes bytes at the end."""
        self._file.write(data)

    def discard(self) -> None:
        """Removes the file."""
        if _is_at(self._file, self.path):
            self._etag_path.unlink(missing_ok=True)
            self.path.unlink()

    def finish(self) -> None:
        """Gives the file its final name, in one step."""
        self._file.flush()
        self._etag_path.unlink(missing_ok=True)
        self.path.replace(self.target)

    def _open_locked(self) -> BinaryIO:
        while True:
            file = self.path.open('ab')
            try:
                _lock(file, self.target.name)
                # Whoever had the lock before may have renamed or removed the file.
                if _is_at(file, self.path):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()


def _lock(file: BinaryIO, name: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f'{name}: waiting for another download of it to end', file=sys.stderr)
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is the one that a path leads to."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
