"""Info files: what a data set class needs to know about the frames of a split, in mmengine's BaseDataset format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..fileio.atomic import write_atomic
from .classes import CLASSES
from .info_reader import INFO_VERSION
from .nuscenes.label_maker import label_name
from .nuscenes.tables import CAMERAS, Frame


def write_infos(path: Path, frames: Sequence[Frame], version: str, split: str) -> None:
    """Writes the info file of a split, one frame a line; numbers keep their full float64 precision."""
    metainfo = {
        'dataset': 'nuscenes',
        'version': version,
        'split': split,
        'info_version': INFO_VERSION,
        'cameras': CAMERAS,
        'classes': CLASSES,
    }
    lines = ',\n'.join(json.dumps(frame_info(frame, labelled=split != 'test')) for frame in frames)
    write_atomic(path, f'{{"metainfo": {json.dumps(metainfo)},\n"data_list": [\n{lines}\n]}}\n'.encode())


def frame_info(frame: Frame, labelled: bool) -> dict:
    """One entry of ``data_list``; paths are relative, images to the data set's root, labels to a label folder."""
    return {
        'sample_token': frame.token,
        'scene_name': frame.scene,
        'timestamp': frame.timestamp,
        'world_from_ego': frame.world_from_ego.tolist(),
        'label': label_name(frame) if labelled else None,
        'images': [
            {
                'camera': camera.channel,
                'path': camera.path,
                'width': camera.width,
                'height': camera.height,
                'intrinsics': camera.intrinsics.tolist(),
                'cam_from_ego': camera.cam_from_ego.tolist(),
            }
            for camera in frame.cameras
        ],
    }
