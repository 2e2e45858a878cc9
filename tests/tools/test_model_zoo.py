"""``tools/model_zoo.py``: as a user runs it, and in this process with a zoo of the test's own."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.zoo.catalogue import read_catalogue
from tests.tiny import REPO
from tests.tools.in_process import run_process, run_tool

TOOL = 'tools/model_zoo.py'
CONTENT = pickle.dumps('weights of a toy')
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = f'toy-{SHA256[:8]}.pth'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
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
    monkeypatch.setattr('projects.CVT_IO.cvt_io.zoo.catalogue.read_catalogue', lambda: catalogue)
    monkeypatch.delenv('CVT_IO_ZOO_MIRROR', raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[object, str, str]:
        """Exit code or message, stdout, stderr."""
        return run_tool(TOOL, *words) or 0, *capsys.readouterr()

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
    listed = run_process(REPO / TOOL, 'list', cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert all(f' {name} ' in listed.stdout for name in read_catalogue())
    wrong = run_process(REPO / TOOL, 'download', 'cvt_io_v2_2', cwd=tmp_path)
    assert wrong.returncode == 1 and wrong.stdout == ''
    assert wrong.stderr.splitlines()[-1].startswith('error: cvt_io_v2_2: no weights are published')
    assert 'Traceback' not in wrong.stderr
    assert [*Path(tmp_path).iterdir()] == []
