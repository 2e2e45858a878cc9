#!/usr/bin/env python
"""Makes the documents' pictures again, by the tools that they show, from the published toy weights."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio.atomic import write_result
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import load_config, require_data

REPO = Path(__file__).resolve().parents[2]
CONFIG = REPO / 'configs/toy/cvt_io_v2_2_toy.py'
WEIGHTS = REPO / 'projects/CVT_IO/weights/cvt_io_v2_2_toy-71191bb3.pth'
#: Of the toy world's validation split: a daylight scene and a frame of it; the explorer's frame and its cell; a frame
#: with many classes.
SCENE, FRAME = 'scene-0554', 3
EXPLORED, CELL = '72882285', 103
BROWSED = 'f0476a25'
PICTURES = ('panel', 'explorer', 'browse', 'cost')
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
PATIENCE = 120  # seconds for the browser


def parse_args() -> argparse.Namespace:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__ + ' The toy world of docs/toy_models.md has to be there.')
    parser.add_argument('--only', nargs='+', choices=PICTURES, default=PICTURES, help='some of them')
    parser.add_argument(
        '--out', type=Path, default=REPO / 'docs/images', metavar='DIR', help='folder (default: docs/images)'
    )
    return parser.parse_args()


def main() -> None:
    """Does what the command line asks for."""
    args = parse_args()
    out = args.out.resolve()
    os.chdir(REPO)  # where the config's data lie
    makers = {'panel': make_panel, 'explorer': make_explorer, 'browse': make_browse, 'cost': make_cost}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only:
            makers[name](Path(folder), out)


def make_panel(work: Path, out: Path) -> None:
    """A frame's panel, and the scene as a map."""
    require_data(load_config(str(CONFIG)), 'test_dataloader')
    run(
        'tools/visualize.py', CONFIG, WEIGHTS, '--scene', SCENE, '--out', work / 'scene', '--stitched', work / 'map.png'
    )
    keep(sorted((work / 'scene').glob('*.png'))[FRAME], out / 'panel.png')
    keep(work / 'map.png', out / 'stitched.png')


def make_explorer(work: Path, out: Path) -> None:
    """The attention explorer as a browser shows it, with a BEV cell chosen."""
    require_data(load_config(str(CONFIG)), 'test_dataloader')
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise DataError('expected Chromium on the path, for a picture of the explorer, and found none')
    run('tools/attention_explorer.py', CONFIG, WEIGHTS, '--frames', EXPLORED, '--out', work / 'page.html')
    flags = ['--headless', '--no-sandbox', '--hide-scrollbars', '--force-dark-mode', '--virtual-time-budget=5000']
    flags += [f'--user-data-dir={work}/profile', '--window-size=1400,1010', f'--screenshot={work}/explorer.png']
    command = [browser, *flags, f'{(work / "page.html").as_uri()}#cell={CELL}']
    try:
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=PATIENCE)
    except subprocess.SubprocessError as error:
        raise DataError(f'{browser}: made no picture of the explorer: {error}') from error
    keep(work / 'explorer.png', out / 'explorer.png')


def make_browse(work: Path, out: Path) -> None:
    """What the data set gives to a model."""
    require_data(load_config(str(CONFIG)), 'val_dataloader')
    words = ['--split', 'val', '--frames', BROWSED, '--not-show', '--output-dir', work / 'browse']
    run('tools/misc/browse_dataset.py', CONFIG, *words)
    keep(next((work / 'browse').iterdir()), out / 'browse.png')


def make_cost(work: Path, out: Path) -> None:
    """How cost grows; takes minutes, on a machine that does nothing else. The tables belong into docs/scaling.md."""
    tables = REPO / 'work_dirs/gallery/scaling.md'
    run('tools/analysis_tools/scaling.py', '--fuse-conv-bn', '--out', tables, '--plot', work / 'scaling.png')
    keep(work / 'scaling.png', out / 'scaling.png')
    print(f'{tables}: the figures of scaling.png, which docs/scaling.md quotes')


def run(tool: str, *words: object) -> None:
    """Runs a tool of the repository, whose own message says what is wrong if it fails."""
    code = subprocess.run([sys.executable, REPO / tool, *map(str, words)]).returncode
    if code:
        raise DataError(f'{tool} ended with code {code}')


def keep(path: Path, final: Path) -> None:
    """Keeps a picture in 256 colours, a quarter of its size."""
    content = BytesIO()
    picture = Image.open(path).convert('RGB').quantize(256, Image.Quantize.FASTOCTREE)
    picture.save(content, 'PNG', optimize=True)
    write_result(final, content.getvalue())
    print(f'{final}: {len(content.getvalue()) / 1024:.0f} KiB')


if __name__ == '__main__':
    cli.run(main)
