"""Downloads that succeed, fail with one line, or fetch another file than the published one."""

from __future__ import annotations

import dataclasses
import io
import socket
import sys
import threading

import pytest

from projects.CVT_IO.cvt_io.fileio import download as fileio_download
from projects.CVT_IO.cvt_io.fileio.download import DownloadError
from projects.CVT_IO.cvt_io.zoo import download as module
from projects.CVT_IO.cvt_io.zoo.download import MIRROR, download, source_url
from tests.tiny import REPO
from tests.zoo.conftest import CONTENT, NAME, SHA256


@pytest.fixture
def dest(tmp_path):
    return tmp_path / 'to/checkpoints'


def failure(weights, dest) -> str:
    """Message of a download that must fail without leaving a file."""
    with pytest.raises(DownloadError) as caught:
        download(weights, dest)
    assert '\n' not in str(caught.value)
    assert [path for path in dest.glob('*') if path.is_file()] == []
    return str(caught.value)


def test_a_file_is_fetched_once(weights, dest, published):
    assert download(weights, dest) == dest / NAME
    published.unlink()
    assert download(weights, dest) == dest / NAME
    assert [path.name for path in dest.iterdir()] == [NAME]
    assert (dest / NAME).read_bytes() == CONTENT


def test_a_wrong_file_of_that_name_is_replaced_only_by_the_right_one(weights, dest, published):
    dest.mkdir(parents=True)
    (dest / NAME).write_bytes(b'other')
    published.rename(published.with_name('away'))
    with pytest.raises(DownloadError, match='404'):
        download(weights, dest)
    assert (dest / NAME).read_bytes() == b'other'
    published.with_name('away').rename(published)
    assert download(weights, dest).read_bytes() == CONTENT


@pytest.mark.parametrize('other', [b'\0' + CONTENT[1:], CONTENT[:-1], CONTENT + b'x', b''])
def test_other_content_is_refused(weights, dest, published, other):
    published.write_bytes(other)
    message = failure(weights, dest)
    assert message.startswith(f'{weights.location}: cannot download to {dest / NAME}: ') and SHA256 in message
    published.write_bytes(CONTENT)  # all digits of the hash count
    failure(dataclasses.replace(weights, sha256=SHA256[:-1] + 'x'), dest)


def test_no_such_file(weights, dest, published):
    published.unlink()
    assert failure(weights, dest).endswith('HTTP Error 404: File not found')
    assert 'No such file' in failure(dataclasses.replace(weights, location=published.as_uri()), dest)


def test_offline(weights, dest, monkeypatch):
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        weights = dataclasses.replace(weights, location=f'http://127.0.0.1:{unused.getsockname()[1]}/{NAME}')
        assert 'refused' in failure(weights, dest)

    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')

    monkeypatch.setattr(socket, 'getaddrinfo', unknown)
    assert 'Name or service not known' in failure(weights, dest)


@pytest.mark.parametrize(
    ('answer', 'reason'),
    [
        (b'', 'closed connection without response'),
        (b'SSH-2.0-OpenSSH_9.6\r\n', 'SSH-2.0-OpenSSH_9.6'),
        (b'HTTP/1.1 302 Found\r\nLocation: data:,x\r\nContent-Length: 0\r\n\r\n', 'not allowed'),
        (None, 'timed out'),
    ],
)
def test_a_server_that_answers_badly(weights, dest, monkeypatch, answer, reason):
    """``None``: it does not answer at all."""
    monkeypatch.setattr(fileio_download, '_STALL_SECONDS', 0.2 if answer is None else 30)
    done = threading.Event()

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.recv(1 << 16)
            if answer is None:
                done.wait(60)
            else:
                connection.sendall(answer)

    with socket.create_server(('127.0.0.1', 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        assert reason in failure(dataclasses.replace(weights, location=f'http://127.0.0.1:{port}/{NAME}'), dest)
        done.set()
        thread.join()
    assert socket.getdefaulttimeout() is None


def test_a_folder_that_cannot_be_created(weights, dest):
    dest.parent.write_text('a file')
    assert str(dest) in failure(weights, dest)


@pytest.mark.parametrize(
    ('terminal', 'quiet', 'shown'), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_progress_is_for_terminals(weights, dest, monkeypatch, capsys, terminal, quiet, shown):
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, 'isatty', lambda: terminal, raising=False)
    monkeypatch.setattr(sys, 'stderr', stderr)
    download(weights, dest, quiet)
    assert ('244k/244k' in stderr.getvalue()) == shown
    assert shown or not stderr.getvalue()
    assert capsys.readouterr().out == ''


def test_a_file_of_the_checkout_and_of_the_mirror(weights, dest, tmp_path, server, monkeypatch):
    monkeypatch.setattr(module, 'REPOSITORY', tmp_path)
    assert download(dataclasses.replace(weights, location=f'site/{NAME}'), dest).read_bytes() == CONTENT
    monkeypatch.setenv(MIRROR, server)
    location = f'projects/CVT_IO/weights/{NAME}'
    assert download(dataclasses.replace(weights, location=location), dest / 'b').read_bytes() == CONTENT


@pytest.mark.parametrize('location', ['projects/CVT_IO/weights/{}', 'https://example.org/a/{}?key=1', 'file:///a/{}'])
@pytest.mark.parametrize(
    ('mirror', 'url'),
    [
        ('https://mirror.example', 'https://mirror.example/{}'),
        ('https://mirror.example/a/?token=1', 'https://mirror.example/a/{}?token=1'),
        ('file:///mnt/zoo/', 'file:///mnt/zoo/{}'),
    ],
)
def test_the_mirror_replaces_the_folder(weights, monkeypatch, location, mirror, url):
    monkeypatch.setenv(MIRROR, mirror)
    assert source_url(dataclasses.replace(weights, location=location.format(NAME))) == url.format(NAME)


def test_without_a_mirror(weights, monkeypatch):
    monkeypatch.setenv(MIRROR, '')
    assert source_url(weights) == weights.location
    location = f'projects/CVT_IO/weights/{NAME}'
    assert source_url(dataclasses.replace(weights, location=location)) == f'file://{REPO}/{location}'


@pytest.mark.parametrize(
    ('mirror', 'found'),
    [
        ('ftp://host/zoo', 'found ftp://host/zoo'),
        ('/mnt/zoo', 'found /mnt/zoo'),
        ('https://me:secret@host/zoo', 'a user name'),
        ('http://[::1/x', 'Invalid IPv6 URL'),
    ],
)
def test_a_mirror_that_is_not_the_url_of_a_folder(weights, monkeypatch, mirror, found):
    monkeypatch.setenv(MIRROR, mirror)
    with pytest.raises(DownloadError, match=f'{MIRROR}: expected an http, https or file URL') as caught:
        source_url(weights)
    assert found in str(caught.value) and 'secret' not in str(caught.value)
