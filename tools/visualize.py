"""Draws a scene: ``python tools/visualize.py configs/cvt_io_v2_2.py CHECKPOINT --scene scene-0003 --out scene.mp4``."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from projects.CVT_IO.cvt_io.apis.model import load_model
from projects.CVT_IO.cvt_io.datasets import CVTIONuScenesDataset
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.models import CVTIOSegmentor
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import build_nuscenes_dataset, load_config
from projects.CVT_IO.cvt_io.runtime.machine import require_device
from projects.CVT_IO.cvt_io.visualization.panels import sample_panel
from projects.CVT_IO.cvt_io.visualization.scene import (
    channel_of,
    check_output,
    photo_views,
    predict_frames,
    scene_indices,
    write_frames,
    write_picture,
)
from projects.CVT_IO.cvt_io.visualization.stitched_map import StitchedMap, add_sample, draw_stitched

KEY_FRAMES, FASTEST = 2.0, 100.0  # frames per second: nuScenes' rate, and a limit that players can handle

DESCRIPTION = """\
Draw the predictions of a scene as a video (.mp4), an animation (.gif) or a folder of pictures. With --stitched, also
draw a map that fuses the predictions of all frames."""


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.config_parser(DESCRIPTION, checkpoint='required', device=True)
    parser.add_argument('--scene', required=True, metavar='NAME', help='name of the scene, e.g. scene-0003')
    parser.add_argument('--out', type=Path, metavar='X', help='video X.mp4, animation X.gif, or folder of pictures')
    parser.add_argument('--stitched', type=Path, metavar='MAP.png', help='write the map of the scene to this file')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='val', help='default: %(default)s')
    parser.add_argument('--group', metavar='NAME', help='label group to draw (default: the first)')
    parser.add_argument('--score-thr', type=float, default=0.5, metavar='P', help='threshold (default: %(default)s)')
    parser.add_argument('--fps', type=float, default=KEY_FRAMES, help='frames per second (default: %(default)g)')
    args = parser.parse_args()
    if args.out is None and args.stitched is None:
        parser.error('one of --out, --stitched is required')
    if not 0 < args.fps <= FASTEST or not 0 < args.score_thr < 1:
        parser.error(f'expected --fps above 0 and up to {FASTEST:g}, and --score-thr between 0 and 1')
    return args


def main() -> None:
    """Entry point."""
    args = parse_args()
    if args.out is not None:
        check_output(args.out)
    if args.stitched is not None and args.stitched.suffix.lower() != '.png':
        raise DataError(f'--stitched {args.stitched}: expected a name that ends in .png')
    device = require_device(args.device)
    cfg = load_config(args.config, args.cfg_options)
    dataset = build_nuscenes_dataset(cfg, f'{args.split}_dataloader')
    dataset.full_init()
    indices = scene_indices(dataset, args.scene)
    model = load_model(cfg, args.checkpoint, device)
    stitched = StitchedMap(dataset.bev_grid, [dataset.get_data_info(index)['world_from_ego'] for index in indices])
    channel = channel_of(model.head.groups, args.group)
    panels = draw_panels(model, dataset, indices, stitched, channel, args.score_thr)
    if args.out is not None:
        write_frames(args.out, panels, args.fps)
    for _ in panels:  # without --out, the frames still have to reach the stitched map
        pass
    if args.stitched is not None:
        write_picture(
            args.stitched, draw_stitched(stitched, args.scene, model.head.groups[channel].name, args.score_thr)
        )


def draw_panels(
    model: CVTIOSegmentor,
    dataset: CVTIONuScenesDataset,
    indices: list[int],
    stitched: StitchedMap,
    channel: int,
    threshold: float,
) -> Iterator[np.ndarray]:
    """Yields the panel of each frame and adds the frame to the stitched map."""
    group = model.head.groups[channel]
    frames = tqdm(predict_frames(model, dataset, indices), total=len(indices), unit='frame')
    for number, (info, sample) in enumerate(frames, 1):
        add_sample(stitched, sample, group, channel, info['world_from_ego'])
        note = f'frame {number} of {len(indices)}'
        yield sample_panel(photo_views(info), sample, group, channel, dataset.bev_grid, threshold, note)


if __name__ == '__main__':
    cli.run(main)
