"""The harness tells harm from none: its payloads are live, and what they do is seen."""

from __future__ import annotations

import contextlib
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from projects.CVT_IO.torture import payloads, safety
from projects.CVT_IO.torture.audit import is_network, watch
from projects.CVT_IO.torture.payloads import PROTOCOLS, Gadgets


@pytest.fixture
def folders(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A folder for files, and the one that payloads make."""
    monkeypatch.syspath_prepend(tmp_path)
    payloads.write_canary(tmp_path, tmp_path / 'victim')
    (tmp_path / 'files').mkdir()
    return tmp_path / 'files', tmp_path / 'victim'


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
def test_the_short_form_passes(tmp_path):
    outcomes = list(safety.run(tmp_path / 'safety', full=False))
    assert [outcome.note for outcome in outcomes if not outcome.passed] == []
    # 23 payloads of protocols 0 and 2 and 24 of protocol 4, in three containers.
    assert [outcome.tried for outcome in outcomes[: len(safety.READERS)]] == [(23 + 23 + 24) * 3] * len(safety.READERS)


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_payload_is_live(folders, protocol):
    """Python's own unpickler makes the folder of each, wherever it stands."""
    victim = folders[1]
    gadgets = Gadgets(victim, protocol)
    for what, value in gadgets:
        for where, data in payloads.placements(value, gadgets):
            sys.modules.pop(payloads.CANARY, None)
            with contextlib.suppress(Exception):  # some say no once they have run
                pickle.loads(data)
            assert victim.is_dir(), (what, where)
            victim.rmdir()


def test_a_reader_that_unpickles_fails(folders):
    """Of plain pickles, not one is survived."""
    outcome = safety.hostile_pickles('x', lambda path: pickle.loads(path.read_bytes()), *folders, full=False)
    # The first pickle of a legacy file is a number. A zip file is none, which Python says in a way of its own.
    assert (outcome.tried, outcome.survived) == (210, 70)
    assert 'the payload has run' in outcome.note


@pytest.mark.parametrize(
    ('reader', 'fault'),
    [
        (lambda path: path.with_name('new').write_text('x'), 'did open'),
        (lambda path: subprocess.run(['true'], check=True), 'did subprocess.Popen'),
        (lambda path: socket.getaddrinfo('localhost', 80), 'did socket.getaddrinfo'),
        (lambda path: [][0], 'IndexError'),
        (lambda path: path.with_name('victim').mkdir(), 'the payload has run'),
    ],
)
def test_faults_are_named(tmp_path, reader, fault):
    assert safety.fault_of(reader, tmp_path / 'x', tmp_path / 'victim').startswith(fault)
    assert safety.fault_of(lambda path: path.is_file(), tmp_path / 'x', tmp_path / 'victim') is None


def test_what_is_watched(tmp_path):
    with watch() as seen:
        (tmp_path / 'x').exists()
        (tmp_path / 'x').mkdir()
        with socket.socketpair()[0]:
            pass
        with pytest.raises(OSError), socket.socket(socket.AF_INET) as client:
            client.connect(('127.0.0.1', 9))
    (tmp_path / 'y').mkdir()
    assert [event.partition(' ')[0] for event in seen] == ['os.mkdir', 'socket.connect']
    assert [is_network(event) for event in seen] == [False, True]
