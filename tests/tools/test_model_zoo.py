"""``tools/model_zoo.py``: as a user runs it, and in this process with a zoo of the test's own."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from projects.CVT_IO.cvt_io.zoo.catalogue import read_catalogue
from tests.tiny import REPO

TOOL = REPO / 'tools/model_zoo.py'
CONTENT = pickle.dumps('weights of a toy')
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = f'toy-{SHA256[:8]}.pth'


@pytest.fixture(scope='module')
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location('model_zoo', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tool, tmp_path, monkeypatch, capsys):
    """Runs the tool in ``tmp_path``; the zoo has `plain` without and `toy` with weights, in the folder `published`."""
    (tmp_path / 'published').mkdir()
    (tmp_path / 'published' / NAME).write_bytes(CONTENT)
    (tmp_path / 'metafile.yml').write_text(f"""
Models:
  - {{Name: plain, Config: configs/plain.py, Results: [{{Metrics: {{Vehicle IoU@0.50 of the original notes: 0.36}}}}]}}
  - Name: toy
    Config: configs/toy.py
    Weights: {(tmp_path / 'published').as_uri()}/{NAME}
    Metadata: {{SHA-256: '{SHA256}', Size (bytes): {len(CONTENT)}}}
    Results: [{{Metrics: {{Vehicle IoU@0.50: 0.25}}}}]
""")
    catalogue = read_catalogue(tmp_path / 'metafile.yml')
    monkeypatch.setattr(tool, 'read_catalogue', lambda: catalogue)
    monkeypatch.delenv('CVT_IO_ZOO_MIRROR', raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[object, str, str]:
        """Exit code or message, stdout, stderr."""
        monkeypatch.setattr(sys, 'argv', ['model_zoo.py', *words])
        code: object = 0
        try:
            tool.cli.run(tool.main)
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


def test_list(run):
    code, out, _ = run('list')
    assert code == 0
    plain, toy = (
        next(line.split('│')[1:-1] for line in out.splitlines() if f'│ {n}' in line) for n in ('plain', 'toy')
    )
    assert [cell.strip() for cell in plain] == ['plain', 'configs/plain.py', '0.36', '', 'to convert']
    assert [cell.strip() for cell in toy] == ['toy', 'configs/toy.py', '', '0.25', '0.0 MB']
    assert "notes' IoU: from the original experiment notes" in out
    assert 'not measured by us' in out
    assert 'docs/model_zoo.md' in out


def test_download_prints_the_path_and_does_nothing_twice(run, tmp_path):
    assert run('download', 'toy') == (0, f'checkpoints/{NAME}\n', '')
    assert (tmp_path / 'checkpoints' / NAME).read_bytes() == CONTENT
    (tmp_path / 'published' / NAME).unlink()
    assert run('download', 'toy') == (0, f'checkpoints/{NAME}\n', '')


def test_download_elsewhere(run, tmp_path):
    assert run('download', 'toy', '--dest', 'a/b', '--quiet')[1] == f'a/b/{NAME}\n'
    assert [path.name for path in (tmp_path / 'a/b').iterdir()] == [NAME]


def test_download_from_a_mirror(run, tmp_path, monkeypatch):
    (tmp_path / 'published').rename(tmp_path / 'mirror')
    assert 'No such file' in str(run('download', 'toy')[0])
    monkeypatch.setenv('CVT_IO_ZOO_MIRROR', (tmp_path / 'mirror').as_uri())
    assert run('download', 'toy')[0] == 0


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['download', 'plain'], 'error: plain: no weights are published; see docs/model_zoo.md'),
        (['download', 'toys'], 'error: toys: no such model in the zoo; did you mean toy?'),
        (['verify', 'none.pth'], 'error: none.pth: no such file'),
    ],
)
def test_one_clear_line(run, words, message):
    code, out, _ = run(*words)
    assert str(code).startswith(message)
    assert '\n' not in str(code)
    assert out == ''


def test_verify(run, tmp_path):
    path = f'published/{NAME}'
    assert run('verify', path) == (0, f"{path}: the zoo's toy (SHA-256 {SHA256})\n", '')
    (tmp_path / path).write_bytes(CONTENT + b'x')
    code, out, _ = run('verify', path)
    assert f"{path}: not the zoo's toy" in str(code)
    assert out == ''


def test_as_a_user_runs_it(tmp_path):
    """From another folder: the real catalogue, and an error."""
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'} | {'OMP_NUM_THREADS': '1'}

    def user(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, TOOL, *words], cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=120
        )

    listed = user('list')
    assert listed.returncode == 0, listed.stderr
    assert all(f' {name} ' in listed.stdout for name in read_catalogue())
    wrong = user('download', 'cvt_io_v2_2')
    assert wrong.returncode == 1
    assert wrong.stdout == ''
    assert wrong.stderr.splitlines()[-1].startswith('error: cvt_io_v2_2: no weights are published')
    assert 'Traceback' not in wrong.stderr
    assert [*Path(tmp_path).iterdir()] == []
