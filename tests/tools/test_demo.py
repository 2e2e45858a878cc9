"""The demo as a user runs it."""

from __future__ import annotations

import json
import re

import pytest

from tests.apis.conftest import frame  # noqa: F401
from tests.apis.toy_inputs import mmdet3d_pickle, rig_json
from tests.tiny import REPO
from tests.tools.in_process import run_process, run_tool

DEMO = 'demo/bev_demo.py'
MODEL = ('cvt_io_v2_2_toy', '--device', 'cpu')


def test_from_another_folder_as_a_process(tmp_path, toy_root, frame):  # noqa: F811
    path = rig_json(frame, tmp_path / 'rig.json', cameras=3)
    words = (REPO / DEMO, path, *MODEL, '--print-result', '--score-thr', '0.4')
    done = run_process(*words, cwd=tmp_path)
    result = json.loads(done.stdout)
    assert result['score_thr'] == 0.4 and len(result['cameras']) == 3
    assert 'resized to 112 × 63' in done.stderr and '1 frames, 0 skipped' in done.stderr
    written = {str(file.relative_to(tmp_path / 'outputs')) for file in (tmp_path / 'outputs').rglob('*.*')}
    stem = 'preds/drive_first'
    assert written == {f'{stem}.json', f'{stem}.npz', f'{stem}_vehicle.png', 'vis/drive_first.png'}


def test_several_inputs_and_flags(tmp_path, toy_root, frame, capsys):  # noqa: F811
    inputs = [mmdet3d_pickle(toy_root, frame, tmp_path), rig_json(frame, tmp_path / 'rig.json')]
    rig = json.loads(inputs[1].read_text())
    rig['frames'].append({'token': 'lost', 'images': {'CAM_FRONT': 'nowhere.jpg'}})
    inputs[1].write_text(json.dumps(rig))
    out = tmp_path / 'out'
    message = run_tool(DEMO, *inputs, *MODEL, '--out-dir', out, '--no-save-vis')
    assert re.fullmatch(r'error: \S+nowhere\.jpg: expected an image, found \w+: .*', message)
    words = ['--out-dir', out, '--skip-broken', '--batch-size', 2]
    assert run_tool(DEMO, *inputs, *MODEL, *words, '--no-save-pred') is None
    assert '2 frames, 1 skipped' in capsys.readouterr().err
    assert len(list((out / 'vis').iterdir())) == 2


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (('rig.txt', *MODEL), 'rig.txt: expected train, val, test, or a file .json'),
        (('nowhere.json', *MODEL), 'nowhere.json: cannot read file'),
        (('nowhere.pkl', *MODEL), 'nowhere.pkl: cannot be read'),
        (('nowhere.json', 'resnet'), 'resnet: no such model in the zoo'),
        (('nowhere.json', *MODEL, '--score-thr', '7'), 'score_thr: expected a probability from 0 to 1, found 7.0'),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    end = run_tool(DEMO, *words)
    assert end.startswith('error: ') and message in end and '\n' not in end


def test_json_of_another_kind(tmp_path):
    (tmp_path / 'b.json').write_text('[' * 10**6)
    assert 'nested too deeply' in run_tool(DEMO, tmp_path / 'b.json', *MODEL)
    (tmp_path / 'a.json').write_text('{"a": 1}')
    assert 'expected infos (data_list) or a rig (cameras, frames)' in run_tool(DEMO, tmp_path / 'a.json', *MODEL)
