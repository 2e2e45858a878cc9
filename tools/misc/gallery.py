#!/usr/bin/env python
"""Regenerates the pictures of the documentation from the published toy weights."""

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
from projects.CVT_IO.cvt_io.zoo.catalogue import published_weights, read_catalogue

REPO = Path(__file__).resolve().parents[2]
CONFIG = REPO / 'configs/toy/cvt_io_v3_toy.py'
WEIGHTS = REPO / published_weights(read_catalogue(), 'cvt_io_v3_toy').location
#: From the toy world's validation split: a daylight scene and a frame of it; the explorer's frame and cell; a frame
#: with many classes.
SCENE, FRAME = 'scene-0554', 3
EXPLORED, CELL = '72882285', 103
BROWSED = 'f0476a25'
PICTURES = ('panel', 'explorer', 'browse', 'cost')
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
PATIENCE = 120  # seconds for the browser


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__ + ' Requires the toy world of docs/toy_models.md.')
    parser.add_argument('--only', nargs='+', choices=PICTURES, default=PICTURES, help='make only these')
    parser.add_argument(
        '--out', type=Path, default=REPO / 'docs/images', metavar='DIR', help='folder (default: docs/images)'
    )
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    out = args.out.resolve()
    os.chdir(REPO)  # data_root of the config is relative to it
    makers = {'panel': make_panel, 'explorer': make_explorer, 'browse': make_browse, 'cost': make_cost}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only:
            makers[name](Path(folder), out)


def make_panel(work: Path, out: Path) -> None:
    """Panel of a frame, and stitched map of the scene."""
    require_data(load_config(str(CONFIG)), 'test_dataloader')
    run(
        'tools/visualize.py', CONFIG, WEIGHTS, '--scene', SCENE, '--out', work / 'scene', '--stitched', work / 'map.png'
    )
    keep(sorted((work / 'scene').glob('*.png'))[FRAME], out / 'panel.png')
    keep(work / 'map.png', out / 'stitched.png')


def make_explorer(work: Path, out: Path) -> None:
    """Screenshot of the attention explorer with a BEV cell selected."""
    require_data(load_config(str(CONFIG)), 'test_dataloader')
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise DataError(f'explorer: expected one of {", ".join(BROWSERS)} on the path, found none')
    run('tools/attention_explorer.py', CONFIG, WEIGHTS, '--frames', EXPLORED, '--out', work / 'page.html')
    flags = ['--headless', '--no-sandbox', '--hide-scrollbars', '--force-dark-mode', '--virtual-time-budget=5000']
    flags += [f'--user-data-dir={work}/profile', '--window-size=1400,1010', f'--screenshot={work}/explorer.png']
    command = [browser, *flags, f'{(work / "page.html").as_uri()}#cell={CELL}']
    try:
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=PATIENCE)
    except subprocess.SubprocessError as error:
        raise DataError(f'{browser}: cannot take a screenshot of the explorer: {error}') from error
    keep(work / 'explorer.png', out / 'explorer.png')


def make_browse(work: Path, out: Path) -> None:
    """A frame of the data set."""
    require_data(load_config(str(CONFIG)), 'val_dataloader')
    words = ['--split', 'val', '--frames', BROWSED, '--not-show', '--output-dir', work / 'browse']
    run('tools/misc/browse_dataset.py', CONFIG, *words)
    keep(next((work / 'browse').iterdir()), out / 'browse.png')


def make_cost(work: Path, out: Path) -> None:
    """Plot of cost scaling; takes minutes on an idle machine. Copy the tables to docs/scaling.md."""
    tables = REPO / 'work_dirs/gallery/scaling.md'
    run('tools/analysis_tools/scaling.py', '--fuse-conv-bn', '--out', tables, '--plot', work / 'scaling.png')
    keep(work / 'scaling.png', out / 'scaling.png')
    print(f'{tables}: the figures of scaling.png, which docs/scaling.md quotes')


def run(tool: str, *words: object) -> None:
    """Runs a tool of the repository, which prints its own errors."""
    code = subprocess.run([sys.executable, REPO / tool, *map(str, words)]).returncode
    if code:
        raise DataError(f'{tool} ended with code {code}')


def keep(path: Path, final: Path) -> None:
    """Saves a picture with 256 colours, a quarter of the size."""
    content = BytesIO()
    picture = Image.open(path).convert('RGB').quantize(256, Image.Quantize.FASTOCTREE)
    picture.save(content, 'PNG', optimize=True)
    write_result(final, content.getvalue())
    print(f'{final}: {len(content.getvalue()) / 1024:.0f} KiB')


if __name__ == '__main__':
    cli.run(main)
