"""Predictions of a scene, frame by frame, and their output files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import torch
from mmdet3d.structures import Det3DDataSample
from mmengine.dataset import pseudo_collate
from PIL import Image

from ..datasets import CVTIONuScenesDataset
from ..datasets.decoding import EncodedImage
from ..datasets.tokens import matching
from ..errors import DataError
from ..fileio.atomic import write_result
from ..labels.groups import LabelGroup
from ..models import CVTIOSegmentor
from .panels import View

_NAMED = 5
_CODEC = 'mp4v'  # MPEG-4 part 2, supported by OpenCV's wheels on every platform
SUFFIXES = ('.mp4', '.gif')


def scene_indices(dataset: CVTIONuScenesDataset, scene: str) -> list[int]:
    """Indices of a scene's frames, sorted by time.

    Raises:
        DataError: the data set does not have the scene; the message lists some that it has.
    """
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    found = [index for index, info in enumerate(infos) if info['scene_name'] == scene]
    if not found:
        names = sorted({info['scene_name'] for info in infos})
        some = ', '.join(names[:_NAMED]) + (f' … ({len(names)} in all)' if len(names) > _NAMED else '')
        raise DataError(f'--scene {scene}: not in {dataset.ann_file}, which has {some or "no scenes"}')
    return sorted(found, key=lambda index: infos[index]['timestamp'])


def choose_frames(dataset: CVTIONuScenesDataset, starts: Sequence[str], count: int | None = None) -> list[int]:
    """Indices of the samples whose token equals, or else starts with, one of ``starts``.

    Without ``starts``, ``count`` evenly spaced frames; ``None`` for all.

    Raises:
        DataError: there is no such sample.
    """
    if not starts:
        return dataset.spread(count)
    tokens = [dataset.get_data_info(index)['sample_token'] for index in range(len(dataset))]
    found: list[int] = []
    for start in starts:
        chosen = matching(tokens, start)
        if not chosen:
            raise DataError(f'--frames {start}: no such sample in {dataset.ann_file}')
        found += chosen
    return found


def channel_of(groups: Sequence[LabelGroup], name: str | None) -> int:
    """Output channel of a label group; the first if no name is given.

    Raises:
        DataError: the model does not have the group.
    """
    names = [group.name for group in groups]
    if name is not None and name not in names:
        raise DataError(f'label group {name}: expected one of {", ".join(names)}')
    return 0 if name is None else names.index(name)


@torch.inference_mode()
def predict_frames(
    model: CVTIOSegmentor, dataset: CVTIONuScenesDataset, indices: Iterable[int]
) -> Iterator[tuple[dict, Det3DDataSample]]:
    """Yields info and predicted sample of each frame.

    Raises:
        DataError: a prediction is not finite.
    """
    model.eval()
    for index in indices:
        (sample,) = model.test_step(pseudo_collate([dataset[index]]))
        info = dataset.get_data_info(index)
        if not sample.pred_bev.scores.isfinite().all():
            raise DataError(f'sample {info["sample_token"]}: expected finite probabilities, the model predicts nan')
        yield info, sample


def photo_views(info: dict) -> list[View]:
    """A frame's cameras at their original size.

    Raises:
        DataError: an image is missing or broken.
    """
    views = []
    for image in info['images']:
        img = EncodedImage.read(image['path'], any_colour=True).decode()
        views.append(View(img, np.array(image['intrinsics']), np.array(image['cam_from_ego']), image['camera']))
    return views


def check_output(path: Path) -> None:
    """Raises a ``DataError`` if the suffix is neither that of a video or animation nor empty."""
    if path.suffix and path.suffix.lower() not in SUFFIXES and not path.is_dir():
        raise DataError(f'--out {path}: expected a name that ends in {" or ".join(SUFFIXES)}, or a folder')


def write_frames(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Writes frames as a video (.mp4), an animation (.gif), or numbered PNGs in a folder (any other name).

    Args:
        path: video, animation or folder.
        frames: (H, W, 3) uint8 RGB each, all of the same size.
        fps: frames per second.

    Raises:
        DataError: OpenCV has no encoder for the video.
    """
    suffix = path.suffix.lower()
    if suffix == '.mp4':
        _write_video(path, frames, fps)
    elif suffix == '.gif':
        pictures = [Image.fromarray(frame).quantize(method=Image.Quantize.FASTOCTREE) for frame in frames]
        content = BytesIO()
        pictures[0].save(content, 'GIF', save_all=True, append_images=pictures[1:], duration=1000 / fps, loop=0)
        write_result(path, content.getvalue())
    else:
        for number, frame in enumerate(frames):
            write_picture(path / f'{number:04d}.png', frame)


def frame_name(scene: str, token: str) -> str:
    """File name of a frame; characters that could lead out of the folder are replaced."""
    name = re.sub(r'[^\w.-]', '_', f'{scene}_{token}' if scene else token).lstrip('.')
    return name.encode()[:180].decode(errors='ignore') or 'frame'  # file systems allow 255 bytes, suffixes included


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes (H, W) or (H, W, 3) uint8 RGB as PNG."""
    content = BytesIO()
    Image.fromarray(picture).save(content, 'PNG')
    write_result(path, content.getvalue())


def _write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Writes a video. Frames are cropped to even height and width, as encoders require."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
    writer = cv2.VideoWriter()
    try:
        for frame in frames:
            height, width = (length // 2 * 2 for length in frame.shape[:2])
            if not writer.isOpened() and not writer.open(
                str(temporary), cv2.VideoWriter.fourcc(*_CODEC), fps, (width, height)
            ):
                raise DataError(f"{path}: this OpenCV has no encoder for '{_CODEC}' video; write a .gif or a folder")
            writer.write(cv2.cvtColor(frame[:height, :width], cv2.COLOR_RGB2BGR))
        writer.release()
        temporary.replace(path)
    finally:
        writer.release()
        temporary.unlink(missing_ok=True)
