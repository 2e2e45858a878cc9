"""visualize and eval_report as a user runs them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.runner import save_checkpoint
from PIL import Image

from projects.CVT_IO.cvt_io.runtime.config import build_dataset, build_model
from tests.tiny import TINY_OPTIONS, TOY_CONFIG, as_arguments, tiny_config
from tests.tools.in_process import run_tool

VISUALIZE, REPORT = 'tools/visualize.py', 'tools/analysis_tools/eval_report.py'


@pytest.fixture(scope='module')
def checkpoint(toy_root, tmp_path_factory) -> Path:
    """Of the tiny model with random weights."""
    folder = tmp_path_factory.mktemp('weights')
    path = folder / 'tiny.pth'
    save_checkpoint(dict(state_dict=build_model(tiny_config(toy_root, folder)).state_dict()), str(path))
    return path


@pytest.fixture(scope='module')
def scene(toy_root, tmp_path_factory) -> str:
    """The validation scene's name."""
    dataset = build_dataset(tiny_config(toy_root, tmp_path_factory.mktemp('work')), 'val_dataloader')
    return dataset[0]['data_samples'].scene_name


def run(tool: str, root: Path, *words: object) -> str | int | None:
    return run_tool(tool, TOY_CONFIG, *words, '--cfg-options', *as_arguments(TINY_OPTIONS | {'data_root': root}))


def test_video_and_stitched_map(toy_root, checkpoint, scene, tmp_path):
    out, stitched = tmp_path / 'a/scene.mp4', tmp_path / 'b/map.png'
    assert run(VISUALIZE, toy_root, checkpoint, '--scene', scene, '--out', out, '--stitched', stitched) is None
    video = cv2.VideoCapture(str(out))
    assert (video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FRAME_WIDTH)) == (3, 1400)
    assert Image.open(stitched).width > 400


def test_pictures_in_a_folder(toy_root, checkpoint, scene, tmp_path):
    assert run(VISUALIZE, toy_root, checkpoint, '--scene', scene, '--out', tmp_path / 'out') is None
    pictures = [np.asarray(Image.open(path)) for path in sorted((tmp_path / 'out').iterdir())]
    assert len(pictures) == 3 and {picture.shape for picture in pictures} == {pictures[0].shape}
    assert all((first != second).any() for first, second in itertools.pairwise(pictures))


def test_stitched_map_alone_is_the_same(toy_root, checkpoint, scene, tmp_path):
    """The frames reach it whether or not their panels are written."""
    words = (VISUALIZE, toy_root, checkpoint, '--scene', scene, '--stitched')
    assert run(*words, tmp_path / 'a.png') is None
    assert run(*words, tmp_path / 'b.png', '--out', tmp_path / 'c.gif') is None
    assert (tmp_path / 'a.png').read_bytes() == (tmp_path / 'b.png').read_bytes()
    assert Image.open(tmp_path / 'c.gif').n_frames == 3


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--scene', 'none', '--out', 'OUT'], '--scene none: not in ROOT/cvt_io_infos_val.json, which has SCENE'),
        (['--scene', 'SCENE', '--out', 'a.avi'], '--out a.avi: expected a name that ends in .mp4 or .gif, or a folder'),
        (['--scene', 'SCENE', '--stitched', 'a.jpg'], '--stitched a.jpg: expected a name that ends in .png'),
        (['--scene', 'SCENE', '--out', 'OUT', '--group', 'road'], 'label group road: expected one of vehicle'),
        (['--scene', 'SCENE', '--out', 'OUT', '--device', 'abacus'], 'device abacus: not on this machine'),
    ],
)
def test_errors(toy_root, checkpoint, scene, tmp_path, words, message):
    def filled(text: str) -> str:
        for name, value in dict(ROOT=toy_root, SCENE=scene, OUT=tmp_path / 'out').items():
            text = text.replace(name, str(value))
        return text

    assert run(VISUALIZE, toy_root, checkpoint, *map(filled, words)).startswith(f'error: {filled(message)}')
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    'words', [[], ['--out', 'a', '--fps', '0'], ['--out', 'a', '--fps', 'nan'], ['--out', 'a', '--score-thr', '1']]
)
def test_wrong_arguments(words, capsys):
    assert run_tool(VISUALIZE, TOY_CONFIG, 'x.pth', '--scene', 'a', *words) == 2
    assert 'error: ' in capsys.readouterr().err


def test_report(toy_root, checkpoint, tmp_path, capsys):
    """One validation scene of three frames on a grid that ends at 33.9 m; all counts are of all cells that count."""
    assert run(REPORT, toy_root, checkpoint, '--out', tmp_path / 'report') is None
    assert (tmp_path / 'report/report.md').read_text() == capsys.readouterr().out
    report = json.loads((tmp_path / 'report/report.json').read_text())
    assert report['dataset']['frames'] == 3 and report['dataset']['vehicles'] > 0
    assert sum(report['dataset']['visibility'].values()) == report['dataset']['vehicles']
    scores = report['groups']['vehicle']
    assert [*scores['by_distance_m']] == ['0-20', '20-35']
    for key in ('tp', 'fp', 'fn'):
        assert scores['overall'][key] == sum(band[key] for band in scores['by_distance_m'].values())
    seen = [scores['by_visibility'][token] for token in '234']
    assert scores['overall']['fn'] == sum(score['fn'] for score in seen)
    assert Image.open(tmp_path / 'report/report.png').width == 1400


def test_report_of_some_frames_and_without_labels(toy_root, checkpoint, tmp_path):
    assert run(REPORT, toy_root, checkpoint, '--out', tmp_path / 'report', '--num', 2) is None
    assert json.loads((tmp_path / 'report/report.json').read_text())['dataset']['frames'] == 2
    options = as_arguments(TINY_OPTIONS | {'data_root': toy_root, 'test_dataloader.dataset.with_labels': False})
    message = run_tool(REPORT, TOY_CONFIG, checkpoint, '--out', tmp_path / 'none', '--cfg-options', *options)
    assert message == f'error: {TOY_CONFIG}: test_dataloader.dataset.with_labels: expected True, found False'
    assert not (tmp_path / 'none').exists()
