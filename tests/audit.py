"""Notices what Python code does to the world outside, by the interpreter's audit events."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PROGRAMS = ('os.exec', 'os.fork', 'os.forkpty', 'os.posix_spawn', 'os.spawn', 'os.startfile', 'os.system', 'pty.spawn')
_NETWORK = ('connect', 'bind', 'sendto', 'sendmsg', 'getaddrinfo', 'gethostbyname', 'gethostbyaddr', 'getnameinfo')
_FILES = ('chmod', 'chown', 'link', 'mkdir', 'remove', 'rename', 'rmdir', 'symlink', 'truncate')
_ALWAYS = (
    *_PROGRAMS,
    'subprocess.Popen',
    *(f'socket.{name}' for name in _NETWORK),
    *(f'os.{name}' for name in _FILES),
    'ctypes.dlopen',
    'pickle.find_class',  # raised by the interpreter's own unpicklers, and not by ours
    'shutil.rmtree',
    'urllib.Request',
    'webbrowser.open',
)
_OPEN_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_watchers: list[list[str]] = []
_installed = False


@contextmanager
def watch() -> Iterator[list[str]]:
    """What is done while the context is open, in any thread: programs, network, files written, texts run as code.

    Reading files and importing modules is not listed.
    """
    global _installed
    if not _installed:  # and for good: there is no way to take a hook away
        sys.addaudithook(_hook)
        _installed = True
    seen: list[str] = []
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers.remove(seen)


def is_network(event: str) -> bool:
    """Whether a line of :func:`watch` is of the network."""
    return event.startswith(('socket.', 'urllib.'))


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watchers and (event in _ALWAYS or event in ('open', 'exec', 'compile')):
        try:
            noteworthy = _is_noteworthy(event, arguments)
        except Exception:  # an error here would become one of the code that is watched
            noteworthy = True
        if noteworthy:
            for seen in _watchers:
                seen.append(f'{event} {arguments!r:.200}')


def _is_noteworthy(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == 'open':
        _, mode, flags = arguments
        return bool(set(mode or '') & set('wax+') or (flags or 0) & _OPEN_TO_WRITE)
    if event == 'exec':
        return arguments[0].co_filename == '<string>'
    if event == 'compile':
        return arguments[0] is not None and arguments[1] in ('<string>', b'<string>')
    if event in ('socket.connect', 'socket.bind', 'socket.sendto', 'socket.sendmsg'):
        return isinstance(arguments[1], tuple)  # those of Unix sockets, by which processes talk, are paths
    return True
