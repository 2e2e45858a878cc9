"""Info files of ``tools/create_data.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..fileio.checks import image_path
from ..geometry import BEVGrid
from ..labels.codec import read_label
from ..labels.infos import check_frame, check_infos, choose_images, parse_image
from ..labels.layout import labels_root
from .source import Source, choose_frames


def nuscenes_source(
    content: dict,
    path: Path,
    grid: BEVGrid,
    root: Path | None = None,
    cameras: Sequence[str] | None = None,
    frames: Sequence[str] = (),
    scene: str | None = None,
) -> Source:
    """Opens an info file.

    Args:
        content: content of the file.
        path: path of the file; labels are expected next to it.
        grid: grid of the labels, which are optional and only used for pictures.
        root: folder of the images; None for the folder of the file.
        cameras: cameras to use, in this order; None for those of the infos.
        frames: tokens or token prefixes to select; all if empty.
        scene: scene to select; None for all.

    Raises:
        DataError: the file is not an info file of this version, or a selected frame is not in it.
    """
    labels = labels_root(path.parent, path.name.partition('_infos_')[0]) / grid.name
    items = check_infos(content, path)

    def parse(info: dict) -> dict:
        where = f'{path}: sample {info["sample_token"]}'
        check_frame(info, where)
        images = choose_images(info, content['metainfo']['cameras'], cameras, where)
        parsed = {key: info[key] for key in ('sample_token', 'scene_name')}
        parsed['images'] = [parse_image(image, root or path.parent, where) for image in images]
        label = info.get('label')
        if isinstance(label, str) and Path(image_path(label, labels, f'{where}: label')).is_file():
            parsed['gt_bev'] = read_label(labels / label, grid)
        return parsed

    return choose_frames(Source(items, parse), frames, scene, _keys, str(path))


def _keys(info: dict) -> tuple[str, str]:
    return info['sample_token'], str(info.get('scene_name'))
