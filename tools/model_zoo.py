"""The model zoo: ``python tools/model_zoo.py list``, ``download NAME``, ``verify FILE``."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.zoo.catalogue import (
    HOW_TO_CONVERT,
    NOTES_IOU,
    OUR_IOU,
    Entry,
    published_weights,
    read_catalogue,
)
from projects.CVT_IO.cvt_io.zoo.download import MIRROR, download
from projects.CVT_IO.cvt_io.zoo.verify import identify


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description='List, download and verify the weights of the model zoo.')
    commands = parser.add_subparsers(dest='command', required=True)
    commands.add_parser('list', help='list the models and their published weights')
    fetch = commands.add_parser(
        'download',
        help="download a model's weights",
        description='Download a weight file, check its SHA-256 and print its path. Does nothing if the file is '
        'already there.',
        epilog=f'Environment variable {MIRROR}: http, https or file URL of a folder to download the files from.',
    )
    fetch.add_argument('name', metavar='NAME', help='model, as `list` names it')
    fetch.add_argument('--dest', type=Path, default=Path('checkpoints'), help='folder (default: %(default)s)')
    fetch.add_argument('--quiet', action='store_true', help='no progress bar')
    verify = commands.add_parser(
        'verify',
        help='check a weight file',
        description='Look up the SHA-256 of a file in the zoo or, failing that, compare it with the eight digits at '
        'the end of its name. Exit code 1 if neither matches.',
    )
    verify.add_argument('file', type=Path, metavar='FILE', help='weight file')
    return parser.parse_args()


def show(catalogue: Mapping[str, Entry]) -> None:
    """Prints the catalogue as a table."""
    table = Table('model', 'config', "notes' IoU", 'our IoU', 'weights', title='Vehicle IoU@0.50')
    for entry in catalogue.values():
        notes, ours = (f'{entry.metrics[key]:g}' if key in entry.metrics else '' for key in (NOTES_IOU, OUR_IOU))
        published = f'{entry.weights.size / 1e6:.1f} MB' if entry.weights else 'to convert'
        table.add_row(entry.name, entry.config, notes, ours, published)
    console = Console(width=100)
    console.print(table)
    console.print(
        "notes' IoU: from the original experiment notes, on nuScenes; not measured by us.\n"
        f'to convert: no published weights; see {HOW_TO_CONVERT} for how to convert an original checkpoint.',
        highlight=False,
    )


def main() -> None:
    """Entry point."""
    args = parse_args()
    catalogue = read_catalogue()
    if args.command == 'list':
        show(catalogue)
    elif args.command == 'download':
        print(download(published_weights(catalogue, args.name), args.dest, args.quiet))
    else:
        print(identify(args.file, catalogue))


if __name__ == '__main__':
    cli.run(main)
