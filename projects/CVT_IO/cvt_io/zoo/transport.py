"""Bytes of a file behind an http, https or file URL, with errors that say what went wrong."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse, IncompleteRead, InvalidURL
from pathlib import Path
from typing import IO, Any, Protocol
from urllib import request
from urllib.error import HTTPError
from urllib.parse import urlsplit

from ..errors import DataError

_CHUNK = 1 << 16
_LINES = 1 << 20  # bytes of an answer that are not the file's: status, headers, sizes of chunks
_LENGTH = re.compile(r'\d{1,18}')
_CONTENT_RANGE = re.compile(r'bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)')
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]*"')  # a weak one (W/"…") does not vouch for every byte


class DownloadError(DataError):
    """A file cannot be had, or is not what was expected; says why."""


class _Body(Protocol):
    def read1(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass
class Stream:
    """A file that is being read.

    Attributes:
        start: offset of the first byte: the one that was asked for, or 0 if the server begins anew.
        size: bytes of the whole file, None if the server does not say.
        etag: strong validator of the file's content, None if the server gives none.
    """

    url: str
    body: _Body
    start: int = 0
    size: int | None = None
    etag: str | None = None

    def chunks(self, limit: int) -> Iterator[bytes]:
        """Bytes as they come, never more than ``limit``, up to the end or to where the server hangs up.

        Raises:
            DownloadError: nothing came for a while, or the connection broke.
        """
        while limit > 0:
            try:
                data = self.body.read1(min(_CHUNK, limit))
            except IncompleteRead:
                return
            except (OSError, HTTPException) as error:
                raise DownloadError(f'{self.url}: {_network_message(error)}') from error
            if not data:
                return
            limit -= len(data)
            yield data


def open_stream(url: str, start: int, etag: str | None, stall_seconds: float) -> Stream:
    """Opens a file for reading.

    Args:
        url: http, https or file URL.
        start: offset to begin at. A server that knows no ranges or has another file begins at 0, and so do file URLs.
        etag: of the file whose first ``start`` bytes are there already, if known.
        stall_seconds: how long to wait for a connection, for an answer, and for more bytes.

    Raises:
        DownloadError: there is no such file, the server refuses, or it cannot be reached.
    """
    if urlsplit(url).scheme == 'file':
        return _open_file(url)
    return _open_http(url, start, etag, stall_seconds)


def _open_file(url: str) -> Stream:
    parts = urlsplit(url)
    if parts.netloc not in ('', 'localhost'):
        raise DownloadError(f'{url}: expected the form file:///folder/file, found a host named {parts.netloc}')
    path = Path(request.url2pathname(parts.path))
    if not path.is_file():
        raise DownloadError(f'{path}: no such file')
    try:
        return Stream(url, path.open('rb'), size=path.stat().st_size)
    except OSError as error:
        raise DownloadError(f'{path}: cannot be read: {error.strerror}') from error


def _open_http(url: str, start: int, etag: str | None, stall_seconds: float) -> Stream:
    headers = {'User-Agent': 'cvt-io', 'Accept-Encoding': 'identity'}
    if start:
        headers['Range'] = f'bytes={start}-'
        if etag:
            headers['If-Range'] = etag
    try:
        response = _OPENER.open(request.Request(url, headers=headers), timeout=stall_seconds)
    except HTTPError as error:
        error.close()
        if start and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # the file there ends before
            return _open_http(url, 0, None, stall_seconds)
        raise DownloadError(f'{url}: {_http_message(error)}') from error
    except (InvalidURL, ValueError) as error:
        raise DownloadError(f'{url}: no URL that can be asked for: {error}') from error
    except (OSError, HTTPException) as error:
        raise DownloadError(f'{url}: {_network_message(error)}') from error
    stream = _stream(url, response, start)
    if stream is None:
        response.close()
        if start:
            return _open_http(url, 0, None, stall_seconds)
        raise DownloadError(f'{url}: expected the whole file, the server answered HTTP {response.status}')
    return stream


def _stream(url: str, response: HTTPResponse, start: int) -> Stream | None:
    """An answer as its headers describe it; None if it is neither the whole file nor what follows ``start``."""
    etag = response.headers.get('ETag', '')
    stream = Stream(url, response, etag=etag if _STRONG_ETAG.fullmatch(etag) else None)
    if response.status == HTTPStatus.OK:
        length = response.headers.get('Content-Length', '')
        stream.size = int(length) if _LENGTH.fullmatch(length) else None
        return stream
    span = _CONTENT_RANGE.fullmatch(response.headers.get('Content-Range', ''))
    if response.status != HTTPStatus.PARTIAL_CONTENT or not span or int(span[1]) != start:
        return None
    stream.start = start
    stream.size = int(span[2]) if span[2] != '*' else None
    return stream


def _http_message(error: HTTPError) -> str:
    reason = ' '.join(str(error.reason).split())
    if error.code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        return f'no such file there (HTTP {error.code})'
    if 300 <= error.code < 400:
        return f'a redirection that is not followed (HTTP {error.code}): {reason}'
    return f'the server answered HTTP {error.code} ({reason})'


def _network_message(error: Exception) -> str:
    reason = getattr(error, 'reason', error)
    if isinstance(reason, TimeoutError):
        return 'the server stalls: nothing came in time'
    if isinstance(reason, HTTPException) and not isinstance(reason, ConnectionError):
        return f'not an answer in HTTP ({type(reason).__name__})'
    return f'the network fails: {getattr(reason, "strerror", None) or reason or type(reason).__name__}'


class _Redirections(request.HTTPRedirectHandler):
    """Follows redirections to http and https, ten at most, and none to ftp, which urllib would."""

    def redirect_request(
        self, req: request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> request.Request | None:
        if urlsplit(newurl).scheme not in ('http', 'https'):
            raise HTTPError(newurl, code, f'{msg} - Redirection to url {newurl!r} is not allowed', headers, fp)
        fp.close()  # urllib would read what comes with the redirection to its end, which it need not have
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _EndlessAnswer(HTTPException):
    """A server goes on talking and never comes to the file."""


class _Lines(io.BufferedReader):
    """What a server sends; no more than so much of it in lines, of which http.client reads as many as there are."""

    _left = _LINES

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise _EndlessAnswer
        return line


class _Response(HTTPResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = _Lines(self.fp.detach())  # type: ignore[attr-defined]


class _Bounded(request.AbstractHTTPHandler):
    """Has connections give bounded answers."""

    def do_open(self, http_class: Any, req: request.Request, **kwargs: Any) -> HTTPResponse:
        bounded: Any = type(http_class.__name__, (http_class,), {'response_class': _Response})
        return super().do_open(bounded, req, **kwargs)


class _HTTPHandler(_Bounded, request.HTTPHandler):
    pass


class _HTTPSHandler(_Bounded, request.HTTPSHandler):
    pass


def _make_opener() -> request.OpenerDirector:
    """Speaks http and https, and nothing of what urllib can besides: file, ftp and data URLs."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        _HTTPHandler,
        _HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        _Redirections,
        request.HTTPErrorProcessor,
        request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


_OPENER = _make_opener()
