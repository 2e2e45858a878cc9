"""A web server on this machine whose answers a test chooses, good and bad."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[['Handler'], None]


class Handler(BaseHTTPRequestHandler):
    """Gives the answer that the server has for the path."""

    server: WeightServer

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get('Range'), self.headers.get('If-Range')))
        with contextlib.suppress(ConnectionError):  # when the client has had enough
            self.server.answers.get(self.path, status(404))(self)

    def send_head(self, code: int, headers: dict[str, object]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *args) -> None:
        pass


class WeightServer(ThreadingHTTPServer):
    """``answers`` by path; ``requests`` are the paths asked for, with their Range and If-Range headers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str | None, str | None]] = []
        self.closing = threading.Event()
        self.url = f'http://127.0.0.1:{self.server_port}'

    def __enter__(self) -> WeightServer:
        threading.Thread(target=self.serve_forever, kwargs=dict(poll_interval=0.02), daemon=True).start()
        return self

    def __exit__(self, *args) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


def whole(content: bytes, **headers: str) -> Answer:
    """The file, whatever range is asked for."""

    def answer(handler: Handler) -> None:
        handler.send_head(200, {'Content-Length': len(content)} | headers)
        handler.wfile.write(content)

    return answer


def ranged(content: bytes, etag: str | None = None) -> Answer:
    """The file, or what follows an offset if it still is the file that the client has begun."""
    headers = {'ETag': etag} if etag else {}

    def answer(handler: Handler) -> None:
        asked, condition = handler.headers.get('Range'), handler.headers.get('If-Range')
        if asked is None or (condition is not None and condition != etag):
            return whole(content, **headers)(handler)
        start = int(asked.removeprefix('bytes=').removesuffix('-'))
        if start >= len(content):
            return handler.send_head(416, {'Content-Length': 0, 'Content-Range': f'bytes */{len(content)}'})
        span = f'bytes {start}-{len(content) - 1}/{len(content)}'
        handler.send_head(206, {'Content-Length': len(content) - start, 'Content-Range': span} | headers)
        handler.wfile.write(content[start:])

    return answer


def truncated(content: bytes, after: int, **headers: str) -> Answer:
    """Promises the file and hangs up after some bytes."""

    def answer(handler: Handler) -> None:
        handler.send_head(200, {'Content-Length': len(content)} | headers)
        handler.wfile.write(content[:after])

    return answer


def stalled(content: bytes, after: int | None) -> Answer:
    """Promises the file and falls silent after some bytes; with None, before it has answered at all."""

    def answer(handler: Handler) -> None:
        if after is not None:
            truncated(content, after)(handler)
            handler.wfile.flush()
        handler.server.closing.wait(60)

    return answer


def headless(content: bytes) -> Answer:
    """The file without a word about its length: it ends where the server hangs up."""

    def answer(handler: Handler) -> None:
        handler.send_head(200, {})
        handler.wfile.write(content)

    return answer


def status(code: int, **headers: str) -> Answer:
    """An empty answer."""
    return lambda handler: handler.send_head(code, {'Content-Length': 0} | headers)


def redirect(location: str) -> Answer:
    """Sends the client elsewhere."""
    return status(302, Location=location)


def raw(data: bytes) -> Answer:
    """These bytes in place of an HTTP answer."""
    return lambda handler: handler.wfile.write(data) and None
