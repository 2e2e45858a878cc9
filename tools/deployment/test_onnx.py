#!/usr/bin/env python
"""Tests an exported model: ``python tools/deployment/test_onnx.py configs/cvt_io_v2_2.py MODEL.onnx``."""

import argparse
from pathlib import Path

from projects.CVT_IO.cvt_io.deploy.exported import RUNTIME_OF
from projects.CVT_IO.cvt_io.deploy.info import GraphInfo
from projects.CVT_IO.cvt_io.deploy.runtimes import ONNXRUNTIME, OPENVINO, RUNTIMES, open_runtime
from projects.CVT_IO.cvt_io.deploy.verify import evaluate
from projects.CVT_IO.cvt_io.fileio.atomic import write_json
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import load_config, require_data


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.config_parser("Compute metrics of an exported model on its config's test set.")
    parser.add_argument('model', type=Path, metavar='MODEL', help='.onnx or .xml of export_onnx.py or quantize.py')
    parser.add_argument(
        '--runtime', choices=RUNTIMES, help=f'runtime (default: {ONNXRUNTIME} for .onnx, {OPENVINO} for .xml)'
    )
    parser.add_argument('--compare', metavar='CHECKPOINT', help='also compare the logits with those in PyTorch')
    parser.add_argument('--out', type=Path, metavar='FILE.json', help='write the metrics to this file')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    require_data(cfg, 'test_dataloader')
    info = GraphInfo.read(args.model)
    info.check_config(cfg, args.model)
    run = open_runtime(args.runtime or RUNTIME_OF.get(args.model.suffix, ONNXRUNTIME), args.model)
    metrics = evaluate(run, cfg, info, args.compare)
    for name, value in metrics.items():
        print(f'{name}: {value:.4f}')
    if args.out:
        write_json(args.out, metrics)


if __name__ == '__main__':
    cli.run(main)
