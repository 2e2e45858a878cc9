#!/usr/bin/env python
"""Trains all models on the toy world: ``python tools/analysis_tools/toy_benchmark.py``."""

import argparse
import json
from pathlib import Path

from projects.CVT_IO.benchmarks.toy_runs import (
    TOOLS,
    ToyRun,
    cfg_options,
    last_checkpoint,
    make_cache,
    make_worlds,
    run_all,
    run_tool,
    train,
)
from projects.CVT_IO.benchmarks.toy_table import markdown, summary
from projects.CVT_IO.cvt_io.fileio.atomic import write_json, write_result
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.zoo.catalogue import REPOSITORY

REPEATED = ('cvt_io_v3', 'cvt', 'cvt_io_v2_2', 'cvt_io_v2_1')
MODELS = (
    *REPEATED,
    *('cvt_io_v2_8', 'cvt_io_v2_6', 'cvt_io_v2_3', 'cvt_io_v1_1'),
    *('cvt_io_v2_4', 'cvt_io_v2_7', 'cvt_io_v2_5', 'cvt_io_v2_9'),
)
TRAIN_INFOS = {'test_dataloader.dataset.ann_file': 'cvt_io_infos_train.json'}


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description='The benchmark toy-1: generate its two worlds, train each model with the same frames in the same '
        'order, test it on unseen scenes, on another world and with images of other frames, and write a table. Safe to '
        'interrupt and rerun; a rerun continues.'
    )
    parser.add_argument('--models', nargs='+', default=MODELS, metavar='NAME', help='default: all twelve')
    parser.add_argument(
        '--seeds', nargs='+', type=int, help=f'default: 0 for each model, then 1 for {", ".join(REPEATED)}'
    )
    parser.add_argument('--steps', type=cli.positive_int, default=3000, help='of 8 frames (default: %(default)s)')
    parser.add_argument('--jobs', type=cli.positive_int, default=1, help='runs at a time, one core each (default: 1)')
    for flag, folder, what in (('--data', 'data', 'worlds'), ('--out', 'work_dirs/toy_benchmark', 'runs and table')):
        parser.add_argument(
            flag, type=lambda path: Path(path).resolve(), default=REPOSITORY / folder, help=f'folder of the {what}'
        )
    return parser.parse_args()


def plan(models: list[str], seeds: list[int] | None) -> list[ToyRun]:
    """The runs in their order."""
    pairs = [(model, seed) for seed in seeds or (0, 1) for model in models if seeds or not seed or model in REPEATED]
    return [ToyRun(f'{model}-seed{seed}', model, seed) for model, seed in pairs]


def main() -> None:
    """Entry point."""
    args = parse_args()
    runs = plan(args.models, args.seeds)
    make_worlds(args.data)
    make_cache(runs[0].config, args.data / 'toy-1')
    floors = constant_maps(runs[0].config, args.data, args.out)

    def execute(run: ToyRun) -> dict:
        log = train(run, args.out, args.data / 'toy-1', args.steps)
        return summary(run, log, test(run, args.out, args.data, args.steps))

    def write_table(results: dict) -> None:
        write_json(args.out / 'table.json', dict(steps=args.steps, constant_map=floors, runs=results))
        write_result(args.out / 'table.md', markdown(results, floors, args.steps).encode())

    run_all(runs, args.out, args.jobs, execute, write_table)
    print((args.out / 'table.md').read_text())


def test(run: ToyRun, folder: Path, data: Path, steps: int) -> dict[str, dict]:
    """Metrics of the last checkpoint in the other world and with images of other frames."""
    work_dir = folder / run.name
    tests = dict(
        other_world=cfg_options(data / 'toy-1-other', TRAIN_INFOS),
        other_frames=['--control', 'other-frame', *cfg_options(data / 'toy-1')],
    )
    for name, words in tests.items():
        out = work_dir / f'{name}.json'
        if not out.is_file():
            start = (run.config, last_checkpoint(work_dir, steps), '--work-dir', work_dir / 'tests', '--out', out)
            run_tool(TOOLS / 'test.py', *start, *words, log=work_dir / 'test.log')
    return {name: json.loads((work_dir / f'{name}.json').read_text()) for name in tests}


def constant_maps(config: Path, data: Path, folder: Path) -> dict[str, float]:
    """IoU of the best input-independent map in both worlds."""
    found = {}
    for name, world, options in (('unseen', 'toy-1', {}), ('other_world', 'toy-1-other', TRAIN_INFOS)):
        out = folder / f'constant_map-{name}.json'
        if not out.is_file():
            words = cfg_options(data / world, options)
            run_tool(TOOLS / 'analysis_tools/constant_map.py', config, '--out', out, *words)
        found[name] = json.loads(out.read_text())['vehicle/IoU']
    return found


if __name__ == '__main__':
    cli.run(main)
