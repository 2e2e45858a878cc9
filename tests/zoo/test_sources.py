"""Where a file comes from: file URLs, the checkout, the mirror."""

from __future__ import annotations

import dataclasses

import pytest

from projects.CVT_IO.cvt_io.zoo import download as module
from projects.CVT_IO.cvt_io.zoo.download import MIRROR, source_url
from projects.CVT_IO.cvt_io.zoo.transport import DownloadError
from tests.tiny import REPO
from tests.zoo.weight_server import whole


def test_a_file_url(zoo, content, tmp_path):
    source = tmp_path / 'a folder' / zoo.weights.name
    zoo.weights = dataclasses.replace(zoo.weights, location=source.as_uri())
    assert zoo.fails() == f'{source}: no such file'
    source.parent.mkdir()
    source.mkdir()
    assert zoo.fails() == f'{source}: no such file'
    source.rmdir()
    source.write_bytes(content + b'x')
    assert 'expected 250000 bytes, the file there has 250001' in zoo.fails()
    source.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert 'expected SHA-256' in zoo.fails()
    source.write_bytes(content)
    assert zoo.get().read_bytes() == content
    assert zoo.files == [zoo.target.name]
    assert source.read_bytes() == content


def test_a_file_url_with_a_host_is_explained(zoo, monkeypatch):
    monkeypatch.setenv(MIRROR, 'file://data/zoo')
    assert 'expected the form file:///folder/file, found a host named data' in zoo.fails()


def test_a_file_of_the_checkout(zoo, content, tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'REPOSITORY', tmp_path / 'checkout')
    zoo.weights = dataclasses.replace(zoo.weights, location=f'weights/{zoo.weights.name}')
    (tmp_path / 'checkout/weights').mkdir(parents=True)
    (tmp_path / 'checkout/weights' / zoo.weights.name).write_bytes(content)
    assert zoo.get().read_bytes() == content


@pytest.mark.parametrize('location', ['projects/CVT_IO/weights/{}', 'https://example.org/a/{}?key=1', 'file:///a/{}'])
@pytest.mark.parametrize(
    ('mirror', 'folder'),
    [
        ('http://127.0.0.1:8000/zoo', 'http://127.0.0.1:8000/zoo/{}'),
        ('https://mirror.example/', 'https://mirror.example/{}'),
        ('https://mirror.example', 'https://mirror.example/{}'),
        ('https://mirror.example/a/?token=1', 'https://mirror.example/a/{}?token=1'),
        ('file:///mnt/zoo/', 'file:///mnt/zoo/{}'),
    ],
)
def test_the_mirror_takes_the_place_of_the_folder(weights, monkeypatch, location, mirror, folder):
    monkeypatch.setenv(MIRROR, mirror)
    moved = dataclasses.replace(weights, location=location.format(weights.name))
    assert source_url(moved) == folder.format(weights.name)


def test_without_a_mirror(weights, monkeypatch):
    monkeypatch.setenv(MIRROR, '')
    assert source_url(weights) == weights.location
    inside = dataclasses.replace(weights, location=f'projects/CVT_IO/weights/{weights.name}')
    assert source_url(inside) == f'file://{REPO}/projects/CVT_IO/weights/{weights.name}'


def test_a_download_from_the_mirror(zoo, content, monkeypatch):
    zoo.weights = dataclasses.replace(zoo.weights, location=f'projects/CVT_IO/weights/{zoo.weights.name}')
    monkeypatch.setenv(MIRROR, f'{zoo.server.url}/zoo/')
    assert zoo.get(whole(content)).read_bytes() == content


@pytest.mark.parametrize(
    ('mirror', 'found'),
    [('ftp://host/zoo', 'ftp://host/zoo'), ('/mnt/zoo', '/mnt/zoo'), ('https://me:secret@host/zoo', 'a user in it')],
)
def test_a_mirror_that_is_no_url_of_a_folder(weights, monkeypatch, mirror, found):
    monkeypatch.setenv(MIRROR, mirror)
    with pytest.raises(DownloadError, match=f'{MIRROR}: expected an http, https or file URL') as caught:
        source_url(weights)
    assert found in str(caught.value)
    assert 'secret' not in str(caught.value)
