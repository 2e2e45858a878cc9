"""A weight file and a server for it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.zoo.catalogue import WeightFile
from projects.CVT_IO.cvt_io.zoo.download import MIRROR, download
from projects.CVT_IO.cvt_io.zoo.transport import DownloadError
from tests.zoo.weight_server import Answer, WeightServer

#: More than three of the pieces that a download comes in.
CONTENT = random.Random(0).randbytes(250_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.delenv(MIRROR, raising=False)


@pytest.fixture
def content() -> bytes:
    return CONTENT


@pytest.fixture
def server() -> Iterator[WeightServer]:
    with WeightServer() as running:
        yield running


@pytest.fixture
def weights(server: WeightServer) -> WeightFile:
    """The file of ``content``, published at ``/zoo/`` of the server."""
    return WeightFile(f'{server.url}/zoo/tiny-{SHA256[:8]}.pth', SHA256, len(CONTENT))


class Zoo:
    """A folder to download to, and a server that answers as a test says."""

    def __init__(self, server: WeightServer, weights: WeightFile, dest: Path) -> None:
        self.server, self.weights, self.dest = server, weights, dest
        self.target = dest / weights.name
        self.part = dest / f'{weights.name}.part'
        self.path = urlsplit(weights.location).path

    def get(self, answer: Answer | None = None, **kwargs) -> Path:
        if answer is not None:
            self.server.answers[self.path] = answer
        return download(self.weights, self.dest, **kwargs)

    def fails(self, answer: Answer | None = None, **kwargs) -> str:
        """Message of a download that must fail, and leave nothing under the final name."""
        with pytest.raises(DownloadError) as caught:
            self.get(answer, **kwargs)
        assert isinstance(caught.value, DataError)
        assert '\n' not in str(caught.value)
        assert not self.target.exists()
        return str(caught.value)

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.dest.iterdir())

    @property
    def ranges(self) -> list[str | None]:
        return [asked for _, asked, _ in self.server.requests]


@pytest.fixture
def zoo(server, weights, tmp_path) -> Zoo:
    return Zoo(server, weights, tmp_path / 'to/checkpoints')
