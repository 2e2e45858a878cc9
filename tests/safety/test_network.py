"""Nothing asks anything of the network unless it is told to."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from projects.CVT_IO.cvt_io.models.pretrained import PretrainedError, load_pretrained
from tests.audit import is_network, watch
from tests.tiny import REPO


def without_network() -> list[str]:
    """What is put before a command to take the network away from all of it, where the system allows that."""
    words = ['unshare', '--map-root-user', '--net']
    can = shutil.which('unshare') and subprocess.run([*words, 'true'], capture_output=True).returncode == 0
    return words if can else []


def test_training_testing_and_predicting(toy_root, tmp_path):
    """From the first import on. The hook sees what Python does; a namespace without network takes all of it away."""
    command = [*without_network(), sys.executable, '-W', 'ignore', REPO / 'tests/safety/offline.py', toy_root, tmp_path]
    result = subprocess.run([*map(str, command)], cwd=tmp_path, text=True, capture_output=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.splitlines()[-1] == 'trained, tested, predicted'


def test_the_hook_forbids(tmp_path):
    code = 'import runpy, socket; runpy.run_path({!r}); socket.create_connection(("127.0.0.1", 9))'
    command = [sys.executable, '-W', 'ignore', '-c', code.format(str(REPO / 'tests/safety/offline.py'))]
    result = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=120)
    assert 'PermissionError: the network is asked: socket.getaddrinfo' in result.stderr


def test_what_is_asked_for_is_asked():
    """A full config's backbone, for one; without network it says how to go on."""
    with watch() as seen, pytest.raises(PretrainedError, match=r'init_cfg=None'):
        load_pretrained('http://127.0.0.1:9/efficientnet-12345678.pth')
    assert [event for event in seen if is_network(event)]
