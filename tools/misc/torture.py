#!/usr/bin/env python
"""Tries at length what training and its files survive, with one line a trial; as in docs/reliability.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

# Python puts a script's own folder on the import path, and not the repository's root, which holds `projects`.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from projects.CVT_IO.cvt_io.fileio.atomic import write_result
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.torture import SECTIONS
from projects.CVT_IO.torture.outcome import HEADER, Outcome


def parse_args() -> argparse.Namespace:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only', nargs='+', choices=SECTIONS, default=SECTIONS, help='some of the sections')
    parser.add_argument('--quick', action='store_true', help='the short form that the tests run too')
    parser.add_argument('--out', type=Path, metavar='FILE.md', help='write the table to this file too')
    return parser.parse_args()


def main() -> None:
    """Does what the command line asks for."""
    args = parse_args()
    warnings.simplefilter('ignore')  # of libraries, about the strange files that they are given
    rows = [HEADER]
    print(HEADER, flush=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix='cvt_io_torture_') as folder:
        for section in args.only:
            for outcome, seconds in run_section(section, Path(folder, section), full=not args.quick):
                rows.append(outcome.row(section, seconds))
                print(rows[-1], flush=True)
                failed += not outcome.passed
    if args.out:
        write_result(args.out, ('\n'.join(rows) + '\n').encode())
    if failed:
        sys.exit(f'error: {failed} of {len(rows) - 1} trials failed')


def run_section(section: str, folder: Path, full: bool) -> Iterator[tuple[Outcome, float]]:
    """Outcomes of one section with the seconds that each took."""
    folder.mkdir()
    start = time.monotonic()
    for outcome in import_module(f'projects.CVT_IO.torture.{section}').run(folder, full):
        now = time.monotonic()
        yield outcome, now - start
        start = now


if __name__ == '__main__':
    cli.run(main)
