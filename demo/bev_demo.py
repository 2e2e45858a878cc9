"""BEV segmentation of camera frames: ``python demo/bev_demo.py rig.json cvt_io_v2_2_toy --out-dir outputs``."""

import argparse
import sys

from projects.CVT_IO.cvt_io.apis import CVTIOInferencer
from projects.CVT_IO.cvt_io.runtime import command_line as cli


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description="Segment camera frames in bird's-eye view. Writes probabilities, masks, regions and pictures."
    )
    parser.add_argument(
        'inputs',
        nargs='+',
        help="our infos (.json), mmdet3d's infos (.pkl), a rig (.json, see docs/own_rig.md), or train, val or test for "
        'a data set of the config',
    )
    parser.add_argument('model', help='name in the zoo, config file, or exported file (.onnx, .xml)')
    parser.add_argument('--weights', help='weight file or name in the zoo (default: published weights of the model)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1 … (default: a GPU if available)')
    parser.add_argument(
        '--out-dir', default='outputs', metavar='DIR', help='folder for preds/ and vis/ (default: %(default)s)'
    )
    parser.add_argument(
        '--frames', nargs='+', default=[], metavar='TOKEN', help='only frames with these tokens or prefixes'
    )
    parser.add_argument('--scene', help='only frames of this scene')
    parser.add_argument('--image-root', metavar='DIR', help='folder of the images (default: that of the input file)')
    parser.add_argument('--batch-size', type=cli.positive_int, default=1, help='frames per batch (default: 1)')
    parser.add_argument(
        '--score-thr',
        '--pred-score-thr',
        type=float,
        default=0.5,
        help='threshold of masks and regions (default: %(default)s)',
    )
    parser.add_argument('--skip-broken', action='store_true', help='report broken frames and continue')
    parser.add_argument('--show', action='store_true', help='show each picture in a window')
    parser.add_argument(
        '--wait-time', type=float, default=0, help='seconds per window (default: until a key is pressed)'
    )
    parser.add_argument('--no-save-vis', action='store_true', help='do not write pictures')
    parser.add_argument('--no-save-pred', action='store_true', help='do not write predictions')
    parser.add_argument('--print-result', action='store_true', help='print one line of JSON per frame')
    cli.add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = vars(parse_args())
    settings = {key: args.pop(key) for key in ('model', 'weights', 'device', 'cfg_options')}
    inferencer = CVTIOInferencer(**settings)
    count = sum(1 for _ in inferencer.stream(**args))
    print(f'{count} frames, {len(inferencer.skipped)} skipped', file=sys.stderr)


if __name__ == '__main__':
    cli.run(main)
