"""A published file and a server for it."""

from __future__ import annotations

import functools
import hashlib
import random
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.zoo.catalogue import WeightFile
from projects.CVT_IO.cvt_io.zoo.download import MIRROR

CONTENT = random.Random(0).randbytes(250_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = f'tiny-{SHA256[:8]}.pth'


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder without a log."""

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.delenv(MIRROR, raising=False)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The file in the served folder."""
    path = tmp_path / 'site' / NAME
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def server(published: Path) -> Iterator[str]:
    """URL of the served folder."""
    handler = functools.partial(QuietHandler, directory=str(published.parent))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, kwargs=dict(poll_interval=0.02), daemon=True).start()
        yield f'http://127.0.0.1:{httpd.server_port}'
        httpd.shutdown()


@pytest.fixture
def weights(server: str) -> WeightFile:
    return WeightFile(f'{server}/{NAME}', SHA256, len(CONTENT))
