"""Draws a data set: ``python tools/misc/browse_dataset.py configs/cvt_io_v2_2.py --output-dir pictures``."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from mmengine.runner import set_random_seed
from mmengine.visualization import Visualizer
from tqdm import tqdm

from projects.CVT_IO.cvt_io.datasets import CVTIONuScenesDataset
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.labels.description import DatasetDescription, read_description
from projects.CVT_IO.cvt_io.labels.frame import Annotation
from projects.CVT_IO.cvt_io.labels.nuscenes.tables import NuScenesTables
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import build_nuscenes_dataset, load_config
from projects.CVT_IO.cvt_io.visualization.dataset_panel import dataset_panel
from projects.CVT_IO.cvt_io.visualization.scene import choose_frames, frame_name, write_picture

DESCRIPTION = """\
Draw frames of a data set after its pipeline, including augmentations: the cameras with annotated boxes (a cross marks
the front), and BEV maps of the twelve classes, of vehicle visibility and of vehicle centres. Boxes are read from the
original tables rather than the infos, so they verify the labels."""


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.config_parser(DESCRIPTION)
    parser.add_argument('--output-dir', type=Path, metavar='DIR', help='write <scene>_<sample token>.png here')
    parser.add_argument('--not-show', action='store_true', help='do not open windows (implied without a display)')
    parser.add_argument('--show-interval', type=float, default=2, metavar='S', help='seconds per window')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train', help='default: %(default)s')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--num', type=cli.positive_int, metavar='N', help='draw N evenly spaced frames (default: all)')
    which.add_argument('--frames', nargs='+', metavar='TOKEN', help='draw the samples with these tokens or prefixes')
    parser.add_argument('--dataset', type=Path, metavar='FILE', help='description that create_data.py was given')
    parser.add_argument('--no-boxes', action='store_true', help='do not read the tables and do not draw boxes')
    return parser.parse_args()


def read_annotations(dataset: CVTIONuScenesDataset, path: Path | None) -> dict[str, tuple[Annotation, ...]]:
    """Annotations of each sample token, from the tables that the infos were made of."""
    version, split = (str(dataset.source.get(key)) for key in ('version', 'split'))
    root = Path(dataset.image_root)
    print(f'reading the tables of {root / version}', file=sys.stderr)
    try:
        description = replace(read_description(path) if path else DatasetDescription(), version=version)
        tables = NuScenesTables(root, description, annotations=description.has_labels)
        return {frame.token: frame.annotations for frame in tables.frames(tables.splits()[split])}
    except DataError as error:
        raise DataError(f'{error}; use --no-boxes to draw without boxes') from error


def main() -> None:
    """Entry point."""
    args = parse_args()
    show = cli.has_display() and not args.not_show
    if not show and args.output_dir is None:
        sys.exit('error: no display available or --not-show given: use --output-dir to write files')
    cfg = load_config(args.config, args.cfg_options)
    dataset = build_nuscenes_dataset(cfg, f'{args.split}_dataloader')
    dataset.full_init()
    indices = choose_frames(dataset, args.frames, args.num)
    in_infos = dataset.ann_file.endswith('.pkl')
    annotations = {} if args.no_boxes or in_infos else read_annotations(dataset, args.dataset)
    if args.output_dir is not None:
        args.output_dir.mkdir(parents=True, exist_ok=True)
    set_random_seed(cfg.get('randomness', {}).get('seed', 0))
    visualizer = Visualizer()
    for index in tqdm(indices, unit='frame'):
        info = dataset.get_data_info(index)
        token = info['sample_token']
        if in_infos and not args.no_boxes:
            annotations = {token: info['annotations']}
        if not args.no_boxes and token not in annotations:
            raise DataError(f'{dataset.ann_file}: the tables below {dataset.image_root} have no sample {token}')
        note = f'{args.split} {index + 1} of {len(dataset)}'
        picture = dataset_panel(dataset[index], info, dataset.bev_grid, annotations.get(token, ()), note)
        name = f'{frame_name(info["scene_name"], token)}.png'
        if args.output_dir is not None:
            write_picture(args.output_dir / name, picture)
        if show:
            visualizer.show(picture, win_name=name, wait_time=args.show_interval)


if __name__ == '__main__':
    cli.run(main)
