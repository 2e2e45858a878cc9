"""The torture tool's report and exit, with trials that take no time."""

from __future__ import annotations

import pytest

from projects.CVT_IO.torture import SECTIONS, resume, soak
from projects.CVT_IO.torture.outcome import Outcome
from tests.tools.in_process import run_tool

TOOL = 'tools/misc/torture.py'


@pytest.fixture
def trials(monkeypatch):
    """Outcomes of two sections by name; the calls are kept under ``calls``."""
    found = {'resume': [Outcome('kills', 20, 20)], 'soak': [Outcome('memory flat', 1, 1, '+0.1 MiB')], 'calls': []}

    def run_of(name):
        def run(folder, full):
            assert folder.is_dir()
            found['calls'].append((name, full))
            yield from found[name]

        return run

    monkeypatch.setattr(resume, 'run', run_of('resume'))
    monkeypatch.setattr(soak, 'run', run_of('soak'))
    return found


def test_report(trials, capsys, tmp_path):
    out = tmp_path / 'new/report.md'
    assert run_tool(TOOL, '--only', 'resume', 'soak', '--out', out) is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == ['| resume | kills | 20 | 20 |  | 0 |', '| soak | memory flat | 1 | 1 | +0.1 MiB | 0 |']
    assert out.read_text().splitlines() == lines
    assert trials['calls'] == [('resume', True), ('soak', True)]


def test_failure_ends_with_an_error_after_all_sections(trials, capsys):
    trials['resume'] = [Outcome('kills', 20, 19), Outcome('disk full', 3, 3)]
    assert run_tool(TOOL, '--only', 'resume', 'soak', '--quick') == 'error: 1 of 3 trials failed'
    assert '| soak |' in capsys.readouterr().out
    assert trials['calls'] == [('resume', False), ('soak', False)]


def test_unknown_section(capsys):
    assert run_tool(TOOL, '--only', 'luck') == 2
    printed = capsys.readouterr().err
    assert all(section in printed for section in SECTIONS)
