"""print_config and browse_dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects.CVT_IO.cvt_io.runtime.config import load_config
from projects.CVT_IO.cvt_io.visualization.dataset_panel import CLASS_COLORS
from tests.tiny import REPO, TOY_CONFIG
from tests.tools.in_process import run_process, run_tool

PRINT, BROWSE = 'tools/misc/print_config.py', 'tools/misc/browse_dataset.py'
CONFIG = REPO / 'configs/cvt_io_v2_2.py'


@pytest.fixture(autouse=True)
def no_display(monkeypatch):
    monkeypatch.delenv('DISPLAY', raising=False)


@pytest.mark.parametrize('flag', ['--cfg-options', '--options'])
def test_printed_config_is_the_merged_one(tmp_path, capsys, flag):
    """Loaded again, it is what the other tools see, with one option that moves all data sets and the schedule."""
    path = tmp_path / 'new/folder/printed.py'
    assert run_tool(PRINT, CONFIG, '--save-path', path, flag, 'data_root=here', 'max_iters=70') is None
    expected = load_config(str(CONFIG), dict(data_root='here', max_iters=70))
    assert path.read_text() == capsys.readouterr().out.removesuffix('\n') == expected.pretty_text
    again = load_config(str(path))
    assert again.to_dict() == expected.to_dict()
    assert (again.val_dataloader.dataset.data_root, again.param_scheduler.total_steps) == ('here', 71)


def test_config_in_other_formats(tmp_path):
    for name in ('a.json', 'a.yml'):
        run_tool(PRINT, CONFIG, '--save-path', tmp_path / name)
        assert load_config(str(tmp_path / name)).model.neck.latent_size == 5


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['none.py'], 'error: none.py: no such config'),
        ([CONFIG, '--save-path', 'x.txt'], 'error: --save-path x.txt: expected a name that ends in .py, .json or .yml'),
        ([CONFIG, '--cfg-options', 'model=3'], f'error: {CONFIG}: model: expected a dict with a type, found 3'),
    ],
)
def test_print_config_errors(words, message):
    assert run_tool(PRINT, *words) == message


def test_browse_as_a_user_does(toy_root, tmp_path):
    words = (TOY_CONFIG, '--output-dir', 'out', '--num', 2, '--cfg-options', f'data_root={toy_root}')
    result = run_process(REPO / BROWSE, *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-2000:]
    assert len([*(tmp_path / 'out').glob('scene-*_*.png')]) == len([*(tmp_path / 'out').iterdir()]) == 2
    assert '2/2' in result.stderr


def browse(root: Path, out: Path, *words: object) -> dict[str, np.ndarray]:
    """Pictures by sample token."""
    assert run_tool(BROWSE, TOY_CONFIG, '--output-dir', out, *words, '--cfg-options', f'data_root={root}') is None
    return {path.stem.split('_')[1]: np.asarray(Image.open(path)) for path in sorted(out.iterdir())}


def test_every_frame_of_a_split_with_its_boxes(toy_root, tmp_path):
    """The boxes are in the cameras' part alone, and there are cars in it."""
    drawn = browse(toy_root, tmp_path / 'boxes', '--split', 'val')
    bare = browse(toy_root, tmp_path / 'bare', '--split', 'val', '--no-boxes')
    assert drawn.keys() == bare.keys() and len(drawn) == 3
    cars = 0
    for token, picture in drawn.items():
        rows = np.flatnonzero((picture != bare[token]).any(axis=(1, 2)))
        height = round(640 * 48 / 112)  # of a camera's picture; two rows of them
        assert rows.min() >= 36 and rows.max() < 36 + 2 * (height + 8)
        distance = np.abs(picture[: rows.max()].astype(int) - CLASS_COLORS['car']).max(axis=-1)
        cars += (distance < 40).sum()
    assert cars > 200


def test_chosen_frames(toy_root, tmp_path):
    tokens = sorted(browse(toy_root, tmp_path / 'all', '--no-boxes'))
    assert len(tokens) == 6
    chosen = browse(toy_root, tmp_path / 'two', '--no-boxes', '--frames', tokens[4], tokens[1][:12])
    assert sorted(chosen) == [tokens[1], tokens[4]]


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ([], 'error: no display available or --not-show given: use --output-dir to write files'),
        (
            ['--output-dir', 'OUT', '--frames', 'xyz'],
            'error: --frames xyz: no such sample in ROOT/cvt_io_infos_train.json',
        ),
        (
            ['--output-dir', 'OUT', '--split', 'val', '--cfg-options', 'val_dataloader=None'],
            f'error: {TOY_CONFIG}: no val_dataloader',
        ),
    ],
)
def test_browse_errors(toy_root, tmp_path, words, message):
    words = [tmp_path if word == 'OUT' else word for word in words]
    if '--cfg-options' not in words:
        words.append('--cfg-options')
    assert run_tool(BROWSE, TOY_CONFIG, *words, f'data_root={toy_root}') == message.replace('ROOT', str(toy_root))
    assert not [*tmp_path.iterdir()]


def test_missing_tables(toy_root, tmp_path):
    """Infos, labels and images are enough to draw all but the boxes."""
    root = tmp_path / 'root'
    root.mkdir()
    for path in toy_root.iterdir():
        if path.name != 'v1.0-mini':
            (root / path.name).symlink_to(path)
    words = (BROWSE, TOY_CONFIG, '--output-dir', tmp_path / 'out', '--num', 1)
    message = run_tool(*words, '--cfg-options', f'data_root={root}')
    assert message == (
        f'error: {root}/v1.0-mini: no such folder (versions found in {root}: none); '
        'use --no-boxes to draw without boxes'
    )
    assert len(browse(root, tmp_path / 'out', '--num', 1, '--no-boxes')) == 1


def test_window(toy_root, monkeypatch):
    """With a display and without ``--not-show``, each picture is shown for the interval."""
    shown = []
    monkeypatch.setenv('DISPLAY', ':99')
    show = 'mmengine.visualization.Visualizer.show'
    monkeypatch.setattr(show, lambda self, picture, win_name, wait_time: shown.append((picture.shape[2], wait_time)))
    words = ('--num', 2, '--no-boxes', '--show-interval', 0.5, '--cfg-options', f'data_root={toy_root}')
    assert run_tool(BROWSE, TOY_CONFIG, *words) is None
    assert shown == [(3, 0.5)] * 2
