"""Downloads from a server whose every byte is the fuzzer's, without a network."""

from __future__ import annotations

import hashlib
import io
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from ...cvt_io.zoo.catalogue import WeightFile
from ...cvt_io.zoo.download import download
from .containers import ANSWER, ENDLESS

CONTENT = random.Random(0).randbytes(300)
_SHA256 = hashlib.sha256(CONTENT).hexdigest()
WEIGHTS = WeightFile(f'http://zoo.invalid/tiny-{_SHA256[:8]}.pth', _SHA256, len(CONTENT))
#: A client that reads so much of a file of 300 bytes will never have enough.
_ENOUGH = 1 << 22


class Endless(Exception):  # noqa: N818
    """The client went on reading an answer that has no end."""


def download_seeds() -> list[bytes]:
    """Conversations: the ``.part`` from before, its ETag, then the server's answers."""
    size = len(CONTENT)
    whole = b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: "a"\r\n\r\n' % size + CONTENT
    rest = b'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 100-%d/%d\r\n\r\n' % (size - 1, size) + CONTENT[100:]
    chunked = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n' % size + CONTENT + b'\r\n0\r\n\r\n'
    moved = b'HTTP/1.1 302 Found\r\nLocation: http://zoo.invalid/other\r\n\r\n'
    waits = b'HTTP/1.1 100 Continue\r\n\r\n'
    return [
        ANSWER.join(parts)
        for parts in (
            (b'', b'', whole),
            (CONTENT[:100], b'"a"', rest),
            (CONTENT[:100], b'', rest, whole),
            (bytes(100), b'"b"', rest, whole),
            (CONTENT + b'x', b'', chunked),
            (CONTENT, b'"a"'),
            (b'', b'', moved, waits + whole),
            (CONTENT[:5], b'', b'HTTP/1.1 416 No\r\n\r\n', whole),
            (b'', b'', waits + ENDLESS),
        )
    ]


def download_reader(folder: Path) -> Callable[[Path], object]:
    """Downloads as a conversation says; what it leaves behind is what it must be."""
    dest = folder / 'dest'
    target = dest / WEIGHTS.name
    part, etag = (target.with_name(f'{target.name}{suffix}') for suffix in ('.part', '.part.etag'))

    def read(path: Path) -> None:
        states, answers = _split(path.read_bytes())
        dest.mkdir(exist_ok=True)
        target.unlink(missing_ok=True)
        for file, state in zip((part, etag), states, strict=True):
            file.write_bytes(state) if state else file.unlink(missing_ok=True)
        server = map(_Connection, answers)
        try:
            with mock.patch.object(socket, 'create_connection', lambda *_, **__: _connect(server)):
                download(WEIGHTS, dest, quiet=True)
            assert target.exists(), 'says that the file is there, and it is not'
        finally:
            left = {file.name for file in dest.iterdir()}
            assert left <= {target.name, part.name, etag.name}, f'left {left}'
            assert not target.exists() or target.read_bytes() == CONTENT, 'another file under the final name'

    return read


def _split(conversation: bytes) -> tuple[list[bytes], list[bytes]]:
    parts = conversation.split(ANSWER)
    return [*parts[:2], b''][:2], parts[2:]


def _connect(server: Iterator[_Connection]) -> _Connection:
    connection = next(server, None)
    if connection is None:
        raise ConnectionRefusedError('nobody there')
    return connection


class _Connection:
    """What urllib needs of a socket: takes every request, and gives an answer."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(_Answer(self._answer))

    def setsockopt(self, *_: object) -> None:
        """Nothing to set."""

    def getsockopt(self, *_: object) -> None:
        """TLS asks first of all what kind of socket this is."""
        raise OSError('not encrypted here')

    def sendall(self, *_: object) -> None:
        """Nobody listens."""

    def close(self) -> None:
        """Nothing is open."""


class _Answer(io.RawIOBase):
    """Bytes that may go on for ever."""

    def __init__(self, answer: bytes) -> None:
        begin, self._endless, _ = answer.partition(ENDLESS)
        self._data = memoryview(begin)
        self._again = begin[-64:]
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._data and self._endless:
            self._data = memoryview(self._again * 64)
        count = min(len(buffer), len(self._data))
        buffer[:count] = self._data[:count]
        self._data = self._data[count:]
        self._given += count
        if self._given > _ENOUGH:
            raise Endless(f'read {self._given} bytes of an answer for a file of {len(CONTENT)}')
        return count
