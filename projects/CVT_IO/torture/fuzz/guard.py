"""Bounds that no input may make a reader leave: its own errors, its time, its memory, its folder, and no code run."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...cvt_io.errors import DataError

MIB = 2**20
_PAGE = resource.getpagesize()
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Audit events (as sys.addaudithook has them) of running code or a program, loading a module, and the network.
_FORBIDDEN = (
    'code.', 'compile', 'cpython.', 'ctypes.', 'exec', 'function.', 'import', 'marshal.', 'os.exec', 'os.fork',
    'os.kill', 'os.posix_spawn', 'os.spawn', 'os.startfile', 'os.system', 'pickle.', 'pty.', 'signal.', 'socket.',
    'subprocess.', 'sys.addaudithook', 'sys.setprofile', 'sys.settrace', 'webbrowser.',
)  # fmt: skip
#: Those that change what is on the disk: their first arguments are paths.
_CHANGES = ('os.chmod', 'os.chown', 'os.link', 'os.mkdir', 'os.remove', 'os.rename', 'os.rmdir', 'os.symlink', 'shutil')


class BrokenPromise(Exception):  # noqa: N818  (what a reader did, not what went wrong here)
    """A reader did what no input may make it do; says what."""


class Forbidden(Exception):  # noqa: N818
    """Stops what an audit event announces before it happens."""


class Guard:
    """Reads one input at a time under watch.

    A reader that never comes back cannot be stopped from within if it is in C code; so its process is: SIGALRM ends it,
    and the input stays in its file. One guard a process, as audit hooks cannot be removed.

    Args:
        folder: scratch; what lies in it may be read, nothing else.
        suffix: of the file that an input is put into.
        may_write: whether files may be written in the folder, as a download does.
        may_claim: whether to let pass that more memory was asked for, refused, and this reported by the reader's own
            error: PyTorch's readers in C++ ask before they look, and do not fill what they got.
        seconds: of wall clock after which the process is ended.
        cpu_seconds: of its own work that an input may cost.
        memory: bytes that an input may take beyond what the process has, touched or not.
    """

    def __init__(
        self,
        folder: Path,
        suffix: str,
        may_write: bool = False,
        may_claim: bool = False,
        seconds: float = 20,
        cpu_seconds: float = 2,
        memory: int = 128 * MIB,
    ) -> None:
        self.input = folder / f'input{suffix}'
        self._folder = os.fspath(folder.resolve())
        self._may_write, self._may_claim = may_write, may_claim
        self._seconds, self._cpu_seconds, self._memory = seconds, cpu_seconds, memory
        self._watching = False
        self._seen: list[str] = []
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        sys.addaudithook(self._audit)

    def check(self, read: Callable[[Path], object], data: bytes) -> None:
        """Has an input read.

        Raises:
            BrokenPromise: the reader left its bounds.
        """
        self.input.write_bytes(data)
        self._seen.clear()
        start = time.process_time()
        problem = self._problem(read)
        cost = time.process_time() - start
        if self._seen:  # however the reader dealt with being stopped
            problem = f'tried {self._seen[0]}'
        elif problem is None and cost > self._cpu_seconds:
            problem = f'worked for {cost:.1f} s, at most {self._cpu_seconds} are allowed'
        if problem is not None:
            raise BrokenPromise(problem)

    def _problem(self, read: Callable[[Path], object]) -> str | None:
        try:
            with self._limits():
                read(self.input)
        except DataError as error:
            short = not self._may_claim and any(map(_is_about_memory, _causes(error)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever it is: that is the question
            if not _is_about_memory(error):
                return f'raised {type(error).__name__}: {error!s:.200}'
            short = True
        else:
            short = False
        return f'asked for more than {self._memory // MIB} MiB' if short else None

    @contextmanager
    def _limits(self) -> Iterator[None]:
        with open('/proc/self/statm', 'rb') as file:  # noqa: PTH123  (once an input: pathlib takes twice the time)
            used = int(file.read().split()[0]) * _PAGE
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + self._memory, hard))
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        self._watching = True
        try:
            yield
        finally:
            self._watching = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    def _audit(self, event: str, args: tuple) -> None:
        if not self._watching:
            return
        if event.startswith(_FORBIDDEN):
            self._forbid(f'{event} {args[:1]!r:.100}')
        elif event == 'open' and isinstance(args[0], (str, bytes, os.PathLike)):
            mode, flags = args[1] or '', args[2] or 0
            writes = any(letter in mode for letter in 'wax+') or bool(flags & _WRITING)
            self._check_path(args[0], 'to write' if writes else 'to read', writes)
        elif event.startswith(_CHANGES):
            for path in args[:2]:
                if isinstance(path, (str, bytes, os.PathLike)):
                    self._check_path(path, event, True)

    def _check_path(self, path: str | bytes | os.PathLike, what: str, writes: bool) -> None:
        place = os.path.realpath(os.fsdecode(path))
        inside = place == self._folder or place.startswith(self._folder + os.sep)
        if not inside or (writes and not self._may_write):
            self._forbid(f'{what} {place}')

    def _forbid(self, what: str) -> None:
        self._seen.append(what)
        raise Forbidden(what)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_about_memory(error: BaseException) -> bool:
    """Whether it says that memory could not be had: Python's own way, the system's, or that of a library in C++."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    text = str(error).lower()
    return any(words in text for words in ('allocate memory', 'out of memory', 'insufficient memory', 'bad_alloc'))
