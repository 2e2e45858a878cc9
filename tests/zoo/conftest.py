"""A published file and a server for it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.zoo.catalogue import WeightFile
from projects.CVT_IO.cvt_io.zoo.download import MIRROR
from tests.web_server import serve

CONTENT = random.Random(0).randbytes(250_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = f'tiny-{SHA256[:8]}.pth'


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
    with serve(published.parent) as url:
        yield url


@pytest.fixture
def weights(server: str) -> WeightFile:
    return WeightFile(f'{server}/{NAME}', SHA256, len(CONTENT))
