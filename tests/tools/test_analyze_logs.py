"""The log tool as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.analysis.run_logs import notes_rows, training_row, write_log
from tests.tiny import REPO
from tests.tools.in_process import run_process, run_tool

TOOL = 'tools/analysis_tools/analyze_logs.py'


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory) -> Path:
    """A run like the notes' v2_1, to step 30,000."""
    folder = tmp_path_factory.mktemp('work') / 'my_run'
    write_log(folder, notes_rows('cvt_io_v2_1', until=30_000))
    return folder


@pytest.fixture(autouse=True)
def no_display(monkeypatch):
    monkeypatch.delenv('DISPLAY', raising=False)


def test_compare_from_the_command_line(work_dir, tmp_path):
    words = ('compare', work_dir, '--to', 'cvt_io_v2_1', '--out', 'c.png', '--out-json', 'c.json')
    result = run_process(REPO / TOOL, *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-2000:]
    assert f'{work_dir}: level with cvt_io_v2_1 at step 29,547' in result.stdout
    assert Image.open(tmp_path / 'c.png').size == (1400, 1050)
    data = json.loads((tmp_path / 'c.json').read_text())
    assert (data['verdict'], data['step'], len(data['validation']), len(data['training'])) == ('level', 29_547, 21, 60)


def test_plot_curve(work_dir, tmp_path):
    out, keys = tmp_path / 'curves.png', ['loss', 'vehicle/IoU@0.50']
    words = ('--keys', *keys, '--legend', 'x', 'y', '--smooth', 5, '--title', 't', '--out', out)
    assert run_tool(TOOL, 'plot_curve', work_dir, *words) is None
    assert Image.open(out).size == (1400, 1050) and out.stat().st_size > 20_000


def test_cal_train_time(tmp_path, capsys):
    times = {50: 2.0, 100: 0.4, 150: 0.6}
    log = write_log(tmp_path, [training_row(step, time=time) for step, time in times.items()])
    assert run_tool(TOOL, 'cal_train_time', log) is None
    # Without the first row: mean 0.5. All of it: 50 · 3.0 s = 2.5 minutes.
    assert capsys.readouterr().out.splitlines() == [
        f'----- {log} -----',
        'time per step: mean 0.5000 s, median 0.5000 s, std 0.1000 s',
        'slowest stretch: steps 101 to 150, 0.6000 s per step',
        'fastest stretch: steps 51 to 100, 0.4000 s per step',
        'training time of steps 1 to 150: 0:02:30, excluding validations',
        '',
    ]
    assert run_tool(TOOL, 'cal_train_time', log, '--include-outliers') is None
    assert 'mean 1.0000 s' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['plot_curve', 'LOG', '--keys', 'mAP', '--out', 'x.png'], "no key 'mAP', expected one of data_time, loss, "),
        (['plot_curve', 'LOG', '--style', 'baroque', '--out', 'x.png'], '--style baroque: expected one of '),
        (['plot_curve', 'LOG', '--smooth', '0', '--out', 'x.png'], '--smooth 0: expected 1 or more'),
        (['plot_curve', 'LOG', '--backend', 'easel'], '--backend easel: '),
        (['plot_curve', 'LOG', '--backend', 'agg'], 'no display available; use --out to write the figure to a file'),
        (['plot_curve', 'nowhere'], 'nowhere: no such log file or work folder'),
        (['compare', 'LOG', '--to', 'cvt_io_v2_1', '--out-json', 'x.txt'], 'expected a name that ends in .json'),
        (['compare', 'LOG', '--to', 'cvt_io_v2_1', '--samples-per-step', '-1'], '-1: expected 1 or more'),
        (['cal_train_time', 'nowhere'], 'nowhere: no such log file or work folder'),
    ],
)
def test_errors_are_one_line(work_dir, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    error = run_tool(TOOL, *(work_dir if word == 'LOG' else word for word in words))
    assert error.startswith('error: ') and message in error and '\n' not in error
    assert not [*tmp_path.iterdir()]


def test_unlogged_run_of_the_notes_is_refused(work_dir, capsys):
    assert run_tool(TOOL, 'compare', work_dir, '--to', 'cvt') == 2
    assert "invalid choice: 'cvt'" in capsys.readouterr().err
