"""Downloads that are whole, broken, continued, or of the wrong content."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys

import pytest

from projects.CVT_IO.cvt_io.zoo.catalogue import WeightFile
from projects.CVT_IO.cvt_io.zoo.download import download
from projects.CVT_IO.cvt_io.zoo.transport import DownloadError
from tests.zoo.weight_server import (
    Handler,
    headless,
    ranged,
    raw,
    status,
    truncated,
    whole,
)


@pytest.mark.parametrize('kind', [whole, ranged, headless])
def test_a_file_is_fetched_once(zoo, content, kind):
    assert zoo.get(kind(content)) == zoo.target
    assert zoo.target.read_bytes() == content
    assert zoo.files == [zoo.target.name]
    zoo.server.answers.clear()
    assert zoo.get() == zoo.target
    assert len(zoo.server.requests) == 1


def test_a_file_that_is_there_needs_no_writing(zoo, content):
    zoo.part.mkdir(parents=True)  # whoever opened it would fail
    zoo.target.write_bytes(content)
    assert zoo.get() == zoo.target


def test_a_wrong_file_of_that_name_is_replaced_only_by_the_right_one(zoo, content):
    zoo.dest.mkdir(parents=True)
    zoo.target.write_bytes(content[:-1] + b'x')
    with pytest.raises(DownloadError, match='404'):
        zoo.get()
    assert zoo.target.read_bytes() == content[:-1] + b'x'
    zoo.get(whole(content))
    assert zoo.target.read_bytes() == content


def test_a_truncated_download_goes_on_where_it_ended(zoo, content):
    message = zoo.fails(truncated(content, 100_000, ETag='"v1"'))
    assert 'ended after 100000 of 250000 bytes' in message
    assert zoo.part.read_bytes() == content[:100_000]
    zoo.get(ranged(content, '"v1"'))
    assert zoo.server.requests[-1][1:] == ('bytes=100000-', '"v1"')
    assert zoo.target.read_bytes() == content
    assert zoo.files == [zoo.target.name]


def test_without_an_etag_the_range_is_asked_for_alone(zoo, content):
    zoo.fails(truncated(content, 100_000))
    zoo.get(ranged(content))
    assert zoo.server.requests[-1][1:] == ('bytes=100000-', None)
    assert zoo.target.read_bytes() == content


def test_a_weak_etag_is_not_sent_back(zoo, content):
    zoo.fails(truncated(content, 100_000, ETag='W/"v1"'))
    zoo.get(ranged(content))
    assert zoo.server.requests[-1][2] is None


def test_only_the_missing_bytes_travel(zoo, content):
    """A server that sends no more than what was asked for, and whose file begins with something else."""
    zoo.fails(truncated(content, 100_000))
    zoo.get(ranged(b'x' * 100_000 + content[100_000:]))
    assert zoo.target.read_bytes() == content


def test_a_server_that_ignores_ranges_begins_anew(zoo, content):
    zoo.fails(truncated(content, 100_000))
    zoo.get(whole(content))
    assert zoo.ranges == [None, 'bytes=100000-']
    assert zoo.target.read_bytes() == content


def test_a_file_that_changed_begins_anew_by_its_etag(zoo, content):
    zoo.fails(truncated(b'old' * 100_000, 100_000, ETag='"old"', **{'Content-Length': '250000'}))
    zoo.get(ranged(content, '"new"'))
    assert zoo.server.requests[-1][1:] == ('bytes=100000-', '"old"')
    assert len(zoo.server.requests) == 2
    assert zoo.target.read_bytes() == content


def test_a_file_that_changed_begins_anew_by_its_hash(zoo, content):
    zoo.fails(truncated(b'o' * 250_000, 100_000))
    zoo.get(ranged(content))
    assert zoo.ranges == [None, 'bytes=100000-', None]
    assert zoo.target.read_bytes() == content


@pytest.mark.parametrize(
    'answer',
    [status(206), status(206, **{'Content-Range': 'bytes 5-9/10'}), status(416), status(204)],
    ids=['no span', 'another span', 'no such range', 'no content'],
)
def test_a_useless_answer_to_a_range_begins_anew(zoo, content, answer):
    zoo.fails(truncated(content, 100_000))

    def answer_ranges_badly(handler: Handler) -> None:
        (answer if handler.headers.get('Range') else whole(content))(handler)

    zoo.get(answer_ranges_badly)
    assert zoo.ranges == [None, 'bytes=100000-', None]
    assert zoo.target.read_bytes() == content


def test_a_part_that_is_whole_needs_no_server(zoo, content):
    zoo.dest.mkdir(parents=True)
    zoo.part.write_bytes(content)
    zoo.get()
    assert zoo.target.read_bytes() == content
    assert zoo.server.requests == []


@pytest.mark.parametrize('excess', [0, 1])
def test_a_part_that_is_long_enough_but_wrong_begins_anew(zoo, content, excess):
    zoo.dest.mkdir(parents=True)
    zoo.part.write_bytes(b'x' * (len(content) + excess))
    zoo.get(ranged(content))
    assert zoo.ranges == [None]
    assert zoo.target.read_bytes() == content
    assert zoo.files == [zoo.target.name]


def test_corrupt_content_is_refused_and_removed(zoo, content):
    bad = b'\0' + content[1:]
    message = zoo.fails(whole(bad))
    assert zoo.weights.sha256 in message
    assert 'expected SHA-256' in message
    assert zoo.files == []


def test_content_that_is_corrupt_twice_is_refused(zoo, content):
    """The part is not the fault: the second try takes all from the server."""
    zoo.fails(truncated(content, 100_000))
    bad = content[:-1] + bytes([content[-1] ^ 1])
    assert 'expected SHA-256' in zoo.fails(ranged(bad))
    assert zoo.ranges == [None, 'bytes=100000-', None]
    assert zoo.files == []


@pytest.mark.parametrize('difference', [-1, 1])
def test_another_length_is_refused_before_it_is_read(zoo, content, difference):
    other = (content + b'x')[: len(content) + difference]
    message = zoo.fails(whole(other))
    assert f'expected 250000 bytes, the file there has {250_000 + difference}' in message
    assert zoo.files == []


def test_another_length_is_refused_when_going_on(zoo, content):
    zoo.fails(truncated(content, 100_000))
    assert 'the file there has 250001' in zoo.fails(ranged(content + b'x'))


@pytest.mark.parametrize('chunked', [False, True])
def test_no_more_than_the_expected_size_is_read(zoo, chunked):
    sent = 0

    def endless(handler: Handler) -> None:
        nonlocal sent
        handler.protocol_version = 'HTTP/1.1'
        handler.send_head(200, {'Transfer-Encoding': 'chunked'} if chunked else {})
        while not handler.server.closing.is_set():
            handler.wfile.write((b'1000\r\n' if chunked else b'') + b'x' * 4096 + (b'\r\n' if chunked else b''))
            sent += 4096

    assert 'expected SHA-256' in zoo.fails(endless)
    assert sent < 20_000_000  # what the system's buffers hold
    assert zoo.files == []


def test_what_follows_the_expected_size_is_left(zoo, content):
    assert zoo.get(headless(content + b'x' * 100_000)).read_bytes() == content


def test_a_broken_off_chunked_answer_is_kept(zoo, content):
    head = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
    message = zoo.fails(raw(head + b'64\r\n' + content[:100] + b'\r\n64\r\n' + content[100:150]))
    assert 'of 250000 bytes' in message
    assert content.startswith(zoo.part.read_bytes())
    assert zoo.part.stat().st_size >= 100
    zoo.get(ranged(content))
    assert zoo.target.read_bytes() == content


def test_a_pickle_is_not_opened(zoo, tmp_path):
    """The content is bytes to a download, whatever they would do when unpickled."""

    class Touch:
        def __reduce__(self):
            return open, (str(tmp_path / 'executed'), 'w')

    data = pickle.dumps(Touch())
    sha256 = hashlib.sha256(data).hexdigest()
    evil = WeightFile(f'{zoo.server.url}/evil-{sha256[:8]}.pth', sha256, len(data))
    zoo.server.answers[f'/{evil.name}'] = whole(data)
    assert download(evil, zoo.dest).read_bytes() == data
    assert not (tmp_path / 'executed').exists()


def test_a_full_disk(zoo, content):
    zoo.dest.mkdir(parents=True)
    zoo.part.symlink_to('/dev/full')
    message = zoo.fails(whole(content))
    assert 'cannot be read or written: No space left on device' in message
    assert str(zoo.dest) in message


def test_a_folder_that_cannot_be_made(zoo, tmp_path, content):
    (tmp_path / 'to').write_text('a file')
    message = zoo.fails(whole(content))
    assert str(zoo.dest) in message
    assert 'cannot be read or written' in message


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_a_folder_that_is_not_ours(zoo, content):
    zoo.dest.mkdir(parents=True, mode=0o555)
    assert 'cannot be read or written: Permission denied' in zoo.fails(whole(content))


def test_a_folder_of_that_name(zoo, content):
    zoo.target.mkdir(parents=True)
    with pytest.raises(DownloadError, match='cannot be read or written: Is a directory'):
        zoo.get(whole(content))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ('stream', 'quiet', 'shown'), [(Terminal, False, True), (Terminal, True, False), (io.StringIO, False, False)]
)
def test_a_bar_on_a_terminal_only(zoo, content, monkeypatch, capsys, stream, quiet, shown):
    stderr = stream()
    monkeypatch.setattr(sys, 'stderr', stderr)
    zoo.get(whole(content), quiet=quiet)
    assert (zoo.weights.name in stderr.getvalue() and '250k/250k' in stderr.getvalue()) == shown
    assert shown or stderr.getvalue() == ''
    assert capsys.readouterr().out == ''
