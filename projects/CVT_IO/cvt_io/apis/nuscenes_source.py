"""Our own infos, of ``tools/create_data.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..geometry import BEVGrid
from ..labels.errors import DataError
from ..labels.layout import labels_root
from .source import Source, camera_matrix, choose_frames, image_path, pose


def nuscenes_source(
    content: dict,
    path: Path,
    grid: BEVGrid,
    root: Path | None = None,
    cameras: Sequence[str] | None = None,
    frames: Sequence[str] = (),
    scene: str | None = None,
) -> Source:
    """Frames of an info file.

    Args:
        content: of the file.
        path: the file; the labels lie beside it, and images unless ``root`` says otherwise.
        grid: of the labels, which serve for the pictures alone and may be missing.
        root: folder of the images.
        cameras: to use, in this order; None for all.
        frames: starts of sample tokens.
        scene: name.

    Raises:
        DataError: it is no info file, or a frame is not in it.
    """
    labels = labels_root(path.parent, path.name.partition('_infos_')[0]) / grid.name
    items = content['data_list']
    for item in items if isinstance(items, list) else [None]:
        if not isinstance(item, dict) or not all(
            isinstance(item.get(key), str) for key in ('sample_token', 'scene_name')
        ):
            raise DataError(f'{path}: data_list: expected frames with sample_token and scene_name, found {item!r:.60}')

    def parse(info: dict) -> dict:
        where = f'{path}: sample {info["sample_token"]}'
        images = _by_camera(info, where)
        names = cameras or list(images)
        missing = [name for name in names if name not in images]
        if missing:
            raise DataError(f'{where}: no camera {missing[0]}, found {", ".join(images)}')
        parsed = {key: info[key] for key in ('sample_token', 'scene_name')}
        parsed['images'] = [_image(images[name], root or path.parent, f'{where}: {name}') for name in names]
        label = info.get('label')
        if isinstance(label, str) and Path(image_path(label, labels, f'{where}: label')).is_file():
            parsed['label'] = str(labels / label)
        return parsed

    return choose_frames(
        Source(items, parse), frames, scene, lambda item: (item['sample_token'], item['scene_name']), str(path)
    )


def _by_camera(info: dict, where: str) -> dict[str, dict]:
    images = info.get('images')
    for image in images if isinstance(images, list) and images else [None]:
        if not isinstance(image, dict) or not isinstance(image.get('camera'), str):
            raise DataError(f'{where}: images: expected entries with a camera name, found {image!r:.60}')
    return {image['camera']: image for image in images or ()}


def _image(image: dict, root: Path, where: str) -> dict[str, Any]:
    return dict(
        camera=image['camera'],
        path=image_path(image.get('path'), root, f'{where}: path'),
        intrinsics=camera_matrix(image.get('intrinsics'), f'{where}: intrinsics'),
        cam_from_ego=pose(image.get('cam_from_ego'), f'{where}: cam_from_ego'),
    )
