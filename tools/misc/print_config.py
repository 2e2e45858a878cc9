"""Prints a config as all tools see it: ``python tools/misc/print_config.py configs/cvt_io_v2_2.py``."""

import argparse
import sys
from pathlib import Path

from mmengine.fileio import dump

from projects.CVT_IO.cvt_io.fileio.atomic import write_result
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import load_config


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description='Print a config as the other tools see it: bases and options merged and resolved.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--save-path', type=Path, metavar='FILE', help='also write it to this .py, .json or .yml file')
    cli.add_cfg_options(parser, '--options')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    suffix = args.save_path.suffix if args.save_path else '.py'
    if suffix not in ('.py', '.json', '.yml'):
        sys.exit(f'error: --save-path {args.save_path}: expected a name that ends in .py, .json or .yml')
    cfg = load_config(args.config, args.cfg_options)
    print(cfg.pretty_text)
    if args.save_path:
        text = cfg.pretty_text if suffix == '.py' else dump(cfg.to_dict(), file_format=suffix[1:])
        write_result(args.save_path, text.encode())


if __name__ == '__main__':
    cli.run(main)
