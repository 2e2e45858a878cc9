"""The gallery without the models: which tools it runs, with flags that they have, and what it keeps."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from projects.CVT_IO.cvt_io.errors import DataError
from tests.tiny import REPO
from tests.tools.in_process import run_tool

GALLERY = 'tools/misc/gallery.py'


def load(tool: str | Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location('tool_under_test', REPO / tool)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (8, 8), (shade, shade, shade)).save(path)


class Programs:
    """Takes the place of ``subprocess.run``: tools and browser leave pictures of one shade each."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def __call__(self, command: list, **_: object) -> subprocess.CompletedProcess:
        words = [str(word) for word in command]
        if words[0] == '/browser':
            self.called.append('browser')
            assert words[-1].startswith('file:///') and words[-1].endswith('page.html#cell=103')
            draw(Path(next(w for w in words if w.startswith('--screenshot=')).partition('=')[2]), 30)
            return subprocess.CompletedProcess(command, 0)
        tool = Path(words[1]).relative_to(REPO)
        self.called.append(tool.stem)
        with mock.patch('sys.argv', words[1:]):
            args = load(tool).parse_args()  # ends this process if the tool has no such flag
        if tool.stem == 'visualize':
            for number in range(8):
                draw(args.out / f'{number:04d}.png', 10 + number)
            draw(args.stitched, 20)
        elif tool.stem == 'browse_dataset':
            assert args.split == 'val' and args.not_show
            draw(args.output_dir / 'scene_token.png', 40)
        elif tool.stem == 'scaling':
            assert args.fuse_conv_bn and args.out.is_relative_to(REPO / 'work_dirs')
            draw(args.plot, 50)
        return subprocess.CompletedProcess(command, 0)


@pytest.fixture
def gallery(monkeypatch, tmp_path) -> ModuleType:
    """The tool, on a machine that has the toy world and a browser."""
    module = load(GALLERY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, 'require_data', lambda cfg, name: None)
    monkeypatch.setattr(module.shutil, 'which', lambda name: '/browser' if name == 'google-chrome' else None)
    return module


def make(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: object) -> Programs:
    programs = Programs()
    monkeypatch.setattr(module.subprocess, 'run', programs)
    with mock.patch('sys.argv', [GALLERY, *map(str, words)]):
        module.main()
    return programs


def test_every_picture_comes_from_its_tool(gallery, monkeypatch, tmp_path):
    """Also into a folder that is named from where the user stands; the panel is that of the fourth frame."""
    programs = make(gallery, monkeypatch, '--out', 'new')
    assert programs.called == ['visualize', 'attention_explorer', 'browser', 'browse_dataset', 'scaling']
    shades = {path.stem: np.asarray(Image.open(path).convert('RGB'))[0, 0, 0] for path in (tmp_path / 'new').iterdir()}
    assert shades == pytest.approx(dict(panel=13, stitched=20, explorer=30, browse=40, scaling=50), abs=4)


def test_some_of_them(gallery, monkeypatch, tmp_path):
    assert make(gallery, monkeypatch, '--out', tmp_path, '--only', 'browse').called == ['browse_dataset']
    assert [path.name for path in tmp_path.iterdir()] == ['browse.png']


def test_pictures_are_kept_in_256_colours(gallery, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / 'a.png')
    gallery.keep(tmp_path / 'a.png', tmp_path / 'new/b.png')
    kept = np.asarray(Image.open(tmp_path / 'new/b.png').convert('RGB'))
    assert len(np.unique(kept.reshape(-1, 3), axis=0)) <= 256
    assert np.abs(kept.astype(int) - noise).mean() < 32


def test_a_tool_that_fails_and_a_browser_that_fails(gallery, monkeypatch, tmp_path):
    monkeypatch.setattr(gallery.subprocess, 'run', lambda command, **_: subprocess.CompletedProcess(command, 3))
    with pytest.raises(DataError, match=r'^tools/visualize.py ended with code 3$'):
        gallery.make_panel(tmp_path, tmp_path)
    monkeypatch.setattr(gallery, 'run', lambda *_: None)

    def hangs(command: list, **_: object) -> None:
        raise subprocess.TimeoutExpired('browser', 120)

    monkeypatch.setattr(gallery.subprocess, 'run', hangs)
    with pytest.raises(DataError, match=r'^/browser: cannot take a screenshot .*timed out after 120 seconds'):
        gallery.make_explorer(tmp_path, tmp_path)
    monkeypatch.setattr(gallery.shutil, 'which', lambda name: None)
    with pytest.raises(DataError, match=r'^explorer: expected one of chromium'):
        gallery.make_explorer(tmp_path, tmp_path)


def test_wrong_picture(capsys):
    assert run_tool(GALLERY, '--only', 'portrait') == 2
    assert 'invalid choice' in capsys.readouterr().err
