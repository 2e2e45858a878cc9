"""BEV segmentation of frames of any origin: ``python demo/bev_demo.py rig.json cvt_io_v2_2_toy --out-dir outputs``."""

import argparse
import sys

from projects.CVT_IO.cvt_io.apis import CVTIOInferencer
from projects.CVT_IO.cvt_io.runtime import command_line as cli


def parse_args() -> argparse.Namespace:
    """Command line of this script."""
    parser = argparse.ArgumentParser(
        description="Segment what cameras see, in bird's-eye view: probabilities, masks, regions in metres, pictures."
    )
    parser.add_argument(
        'inputs',
        nargs='+',
        help="our infos (.json), mmdet3d's infos (.pkl), a rig (.json, see docs/own_rig.md), or train, val or test: "
        "the config's data set",
    )
    parser.add_argument('model', help='name in the zoo, or config file')
    parser.add_argument('--weights', help='weight file, or name in the zoo (default: those of the name)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1 … (default: a GPU if there is one)')
    parser.add_argument(
        '--out-dir', default='outputs', metavar='DIR', help='gets preds/ and vis/ (default: %(default)s)'
    )
    parser.add_argument(
        '--frames', nargs='+', default=[], metavar='TOKEN', help='these frames; starts of tokens will do'
    )
    parser.add_argument('--scene', help='frames of this scene')
    parser.add_argument('--image-root', metavar='DIR', help="what images' paths are relative to (default: the file)")
    parser.add_argument('--batch-size', type=cli.positive_int, default=1, help='frames at a time (default: 1)')
    parser.add_argument(
        '--score-thr', '--pred-score-thr', type=float, default=0.5, help='of masks and regions (default: %(default)s)'
    )
    parser.add_argument('--skip-broken', action='store_true', help='report a broken frame and go on')
    parser.add_argument('--show', action='store_true', help='show each picture in a window')
    parser.add_argument('--wait-time', type=float, default=0, help='seconds that a window stays (default: until a key)')
    parser.add_argument('--no-save-vis', action='store_true', help='write no pictures')
    parser.add_argument('--no-save-pred', action='store_true', help='write no predictions')
    parser.add_argument('--print-result', action='store_true', help='print one line of JSON a frame')
    cli.add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Does what the command line asks for."""
    args = vars(parse_args())
    settings = {key: args.pop(key) for key in ('model', 'weights', 'device', 'cfg_options')}
    inferencer = CVTIOInferencer(**settings)
    count = sum(1 for _ in inferencer.stream(**args))
    print(f'{count} frames, {len(inferencer.skipped)} skipped', file=sys.stderr)


if __name__ == '__main__':
    cli.run(main)
