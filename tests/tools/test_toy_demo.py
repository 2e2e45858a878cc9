"""The demo's own parts; `make demo` itself takes minutes and checks what the model reaches."""

from __future__ import annotations

import argparse
import runpy
from pathlib import Path

import pytest

from tests.tiny import REPO

TOOL = runpy.run_path(str(REPO / 'tools/misc/toy_demo.py'))


@pytest.fixture
def demo(tmp_path: Path):
    names = dict(config=tmp_path, data_root=tmp_path, work_dir=tmp_path, scenes=1, steps=1, verbose=False)
    return TOOL['Demo'](argparse.Namespace(**names, cfg_options=[]))


def test_output_goes_to_a_log_file(demo, tmp_path, capfd):
    demo.run('one step', 1, lambda: 0, '-c', 'print("hello")')
    assert (tmp_path / 'one_step.log').read_text() == 'hello\n'
    assert 'hello' not in capfd.readouterr().out
    assert demo.progress.tasks[0].finished


def test_failure_names_the_log_and_shows_its_end(demo, tmp_path):
    with pytest.raises(SystemExit, match=r'one step failed, see .*/one_step.log:\n(.|\n)*No frames$'):
        demo.run('one step', 1, lambda: 0, '-c', 'import sys; sys.exit("No frames")')


def test_last_step_ignores_a_line_that_is_still_being_written(tmp_path):
    log = tmp_path / 'scalars.json'
    log.write_text('{"step": 10}\n{"step": 20}\n{"st')
    assert TOOL['_last_step'](log) == 20
    log.write_text('{"st')
    assert TOOL['_last_step'](log) == 0
