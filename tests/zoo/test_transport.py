"""Servers and networks that fail, and redirections: what is told of them."""

from __future__ import annotations

import dataclasses
import socket
import time

import pytest

from projects.CVT_IO.cvt_io.zoo.download import MIRROR
from tests.zoo.weight_server import (
    ranged,
    raw,
    redirect,
    stalled,
    status,
    truncated,
)


@pytest.mark.parametrize('code', [404, 410])
def test_no_such_file(zoo, code):
    message = zoo.fails(status(code))
    assert message == f'{zoo.weights.location}: no such file there (HTTP {code})'
    assert zoo.files == []


@pytest.mark.parametrize('code', [401, 403, 500, 503])
def test_a_server_that_refuses(zoo, code):
    message = zoo.fails(status(code))
    assert f'the server answered HTTP {code}' in message
    assert 'no such file' not in message


@pytest.mark.parametrize('code', [204, 206])
def test_an_answer_that_is_not_the_file(zoo, code):
    assert f'HTTP {code}' in zoo.fails(status(code))


def test_nobody_listens(zoo):
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        port = unused.getsockname()[1]
        zoo.weights = dataclasses.replace(zoo.weights, location=f'http://127.0.0.1:{port}/{zoo.weights.name}')
        message = zoo.fails()
    assert 'the network fails' in message
    assert 'refused' in message


def test_no_such_host(zoo, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')

    monkeypatch.setattr(socket, 'getaddrinfo', unknown)
    message = zoo.fails()
    assert 'the network fails: Name or service not known' in message


@pytest.mark.parametrize('after', [None, 100_000])
def test_a_stall_ends_and_keeps_what_came(zoo, content, after):
    start = time.monotonic()
    message = zoo.fails(stalled(content, after), stall_seconds=1)
    assert 'the server stalls' in message
    assert 0.9 < time.monotonic() - start < 30  # of the 60 s that the server is silent
    if after is not None:
        assert zoo.part.read_bytes() == content[:after]
        zoo.get(ranged(content))
        assert zoo.ranges[-1] == f'bytes={after}-'
        assert zoo.target.read_bytes() == content
    else:
        assert zoo.files == []


def test_not_http(zoo):
    assert 'not an answer in HTTP' in zoo.fails(raw(b'SSH-2.0-OpenSSH_9.6\r\n'))


def test_a_server_that_hangs_up_at_once(zoo):
    assert 'the network fails' in zoo.fails(raw(b''))


@pytest.mark.parametrize('location', ['http://127.0.0.1:none/x', 'http://[::1/x', 'http://127.0.0.1/a b'])
def test_not_a_url(zoo, location, monkeypatch):
    monkeypatch.setenv(MIRROR, location)
    message = zoo.fails()
    assert 'URL' in message
    assert zoo.weights.name in message or MIRROR in message


def test_a_redirection_is_followed_with_its_range(zoo, content):
    zoo.fails(truncated(content, 100_000))
    zoo.server.answers['/elsewhere'] = ranged(content)
    zoo.get(redirect('/elsewhere'))
    assert zoo.server.requests[-1] == ('/elsewhere', 'bytes=100000-', None)
    assert zoo.target.read_bytes() == content


def test_a_circle_of_redirections_ends(zoo):
    message = zoo.fails(redirect(zoo.path))
    assert 'a redirection that is not followed (HTTP 302)' in message
    assert len(zoo.server.requests) <= 11


def test_an_endless_chain_of_redirections_ends(zoo):
    for step in range(30):
        zoo.server.answers[f'/{step}'] = redirect(f'/{step + 1}')
    assert 'a redirection that is not followed' in zoo.fails(redirect('/0'))
    assert len(zoo.server.requests) <= 11


@pytest.mark.parametrize('scheme', ['file', 'ftp', 'data'])
def test_a_redirection_out_of_http_is_refused(zoo, content, scheme, tmp_path):
    (tmp_path / zoo.weights.name).write_bytes(content)
    target = {'file': (tmp_path / zoo.weights.name).as_uri(), 'ftp': 'ftp://127.0.0.1/x', 'data': 'data:,x'}[scheme]
    message = zoo.fails(redirect(target))
    assert 'a redirection that is not followed (HTTP 302)' in message
    assert 'not allowed' in message


def endless(begin: bytes, again: bytes):
    """An answer that has no end."""

    def answer(handler) -> None:
        handler.wfile.write(begin)
        while True:  # until the client hangs up
            handler.wfile.write(again)

    return answer


@pytest.mark.parametrize(
    ('begin', 'again'),
    [
        (b'', b'HTTP/1.1 100 Continue\r\n\r\n'),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n', b'more: and more\r\n'),
    ],
)
def test_a_server_that_talks_without_end(zoo, begin, again):
    assert 'not an answer in HTTP' in zoo.fails(endless(begin, again))


def test_the_text_of_a_redirection_is_not_read(zoo, content):
    zoo.server.answers['/elsewhere'] = ranged(content)
    answer = endless(b'HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n', bytes(1 << 16))
    assert zoo.get(answer).read_bytes() == content
