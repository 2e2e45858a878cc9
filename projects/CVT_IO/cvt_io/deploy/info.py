"""Metadata of an exported file: all that is needed to use it without its config."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mmdet3d.registry import MODELS
from mmengine.config import Config

from .. import __version__
from ..datasets import CVTIOResizeCrop
from ..datasets.wrappers import first_part
from ..fileio.checks import is_name
from ..geometry import BEVGrid
from ..labels.description import CAMERAS
from ..labels.groups import build_label_groups
from ..runtime.batches import resize_crop
from .extras import DeployError, require
from .graph import INPUTS, OUTPUT, GraphOptions
from .runtimes import openvino_core

FORMAT_VERSION = 1
FLOAT, UINT8 = 'float32, normalised', 'uint8'
CENTER = 'center'
_LONGEST = 2**16  # characters of a value
_LARGEST_FILE = 2**31  # bytes; protobuf's limit
_MOST_PIXELS = 2**13  # along a side of an image or a grid
_SECTION = 'framework'  # where OpenVINO's converter keeps ONNX's metadata


@dataclass(frozen=True)
class GraphInfo:
    """Metadata of a graph, stored as one JSON value per key.

    Attributes:
        format_version: :data:`FORMAT_VERSION`.
        config: name of the config.
        project_version: version of this project.
        image_size: [height, width].
        top_crop: source images are resized to (height + top_crop, width), then this many rows are cut off at the top.
        resize_filter: filter of the resizing.
        bev_grid: grid of the logits, see :meth:`BEVGrid.to_dict`.
        ego_from_pixels: its inverse view matrix, homogeneous (column, row, 1) → metres (x ahead, y left, 1).
        cameras: number of cameras, or ``None`` for any.
        camera_names: names of the config's cameras in order, or ``None`` if their number is not that of the graph.
        batch: the fixed batch size, or ``None`` for any.
        imgs: :data:`FLOAT`, normalised by mean and std, or :data:`UINT8`, RGB in 0…255.
        normalised_in_graph: whether the graph normalises.
        channel_order: ``RGB``.
        mean: (R, G, B), for images in [0, 1].
        std: (R, G, B), for images in [0, 1].
        precision: ``fp32``, ``fp16`` or ``int8``.
        label_groups: label groups of the config's head.
        outputs: names of the logits' channels.
        thresholds: probability thresholds of the config's metric, or ``None`` if it has none.
        tensors: type, shape, layout and unit of each input and of the output; names stand for dynamic axes.
    """

    format_version: int
    config: str
    project_version: str
    image_size: list[int]
    top_crop: int
    resize_filter: str
    bev_grid: dict[str, Any]
    ego_from_pixels: list[list[float]]
    cameras: int | None
    camera_names: list[str] | None
    batch: int | None
    imgs: str
    normalised_in_graph: bool
    channel_order: str
    mean: list[float]
    std: list[float]
    precision: str
    label_groups: dict[str, Any]
    outputs: list[str]
    thresholds: list[float] | None
    tensors: dict[str, Any]

    @classmethod
    def from_config(cls, cfg: Config, options: GraphOptions) -> GraphInfo:
        """Metadata of the graph exported from a config."""
        head, normalise = cfg.model.head, MODELS.build(cfg.model.data_preprocessor)
        grid, resize = BEVGrid.from_dict(cfg.bev_grid), resize_crop(cfg)
        cameras = None if options.dynamic_cameras else options.cameras
        batch = None if options.dynamic_batch else 1
        names = first_part(cfg.test_dataloader.dataset).get('cameras') or CAMERAS
        outputs = [*head.label_groups, *([CENTER] if head.get('center_group', 'vehicle') else [])]
        evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
        info = cls(
            format_version=FORMAT_VERSION,
            config=Path(cfg.filename or 'config').stem,
            project_version=__version__,
            image_size=[resize.height, resize.width],
            top_crop=resize.top_crop,
            resize_filter='bilinear, antialiased as in Pillow',
            bev_grid=grid.to_dict(),
            ego_from_pixels=grid.ego_from_pixels.tolist(),
            cameras=cameras,
            camera_names=[*names] if cameras in (None, len(names)) else None,
            batch=batch,
            imgs=UINT8 if options.uint8 else FLOAT,
            normalised_in_graph=options.uint8,
            channel_order='RGB',
            mean=normalise.mean.flatten().tolist(),
            std=normalise.std.flatten().tolist(),
            precision='fp16' if options.fp16 else 'fp32',
            label_groups=head.label_groups,
            outputs=outputs,
            thresholds=next((part.thresholds for part in evaluators if part.get('thresholds')), None),
            tensors=_tensors(batch or 'batch', cameras or 'cameras', resize, options.uint8, (len(outputs), *grid.size)),
        )
        return cls(**json.loads(json.dumps(asdict(info))))  # tuples become lists, as in a file

    def to_metadata(self) -> dict[str, str]:
        """Properties for ``onnx.helper.set_model_props``."""
        return {name: json.dumps(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, path: Path) -> GraphInfo:
        """Reads and checks the metadata of an ONNX file, or of an OpenVINO IR (``.xml``) converted from one.

        Raises:
            DeployError: the file is missing, of another format, damaged, or was not exported by this version.
        """
        if not path.is_file():
            raise DeployError(f'{path}: no such file')
        if path.stat().st_size > _LARGEST_FILE:
            raise DeployError(f'{path}: expected at most {_LARGEST_FILE >> 30} GiB, found {path.stat().st_size} bytes')
        found: Mapping[str, str | bytes] = _ir_metadata(path) if path.suffix == '.xml' else _onnx_metadata(path)
        values = {}
        for name in (field.name for field in fields(cls)):
            if name not in found:
                raise DeployError(f'{path}: metadata: expected {name!r}; export it with this version of export_onnx.py')
            values[name] = _parse(found[name], f'{path}: metadata: {name}')
            expected = _EXPECTED.get(name)
            if expected is not None and not _holds(expected[0], values[name]):
                raise DeployError(f'{path}: metadata: {name}: expected {expected[1]}, found {found[name]!r:.60}')
        info = cls(**values)
        if info.outputs not in ([*info.label_groups], [*info.label_groups, CENTER]):
            raise DeployError(f'{path}: metadata: outputs: expected the label groups, found {info.outputs!r:.60}')
        return info

    def check_config(self, cfg: Config, path: Path) -> None:
        """Checks that data and metric of a config match the graph.

        Raises:
            DeployError: they differ.
        """
        wanted = GraphInfo.from_config(cfg, GraphOptions())
        for name in ('image_size', 'top_crop', 'bev_grid', 'mean', 'std', 'label_groups', 'outputs'):
            expected, found = getattr(wanted, name), getattr(self, name)
            if found != expected:
                raise DeployError(
                    f'{path}: {name}: expected {expected} as in {cfg.filename}, found {found!s:.200} (exported from '
                    f'{self.config})'
                )


def _tensors(
    batch: int | str, cameras: int | str, resize: CVTIOResizeCrop, uint8: bool, output: tuple[int, ...]
) -> dict[str, dict]:
    imgs, intrinsics, cam_from_ego = INPUTS
    return {
        imgs: dict(
            dtype='uint8' if uint8 else 'float32',
            shape=[batch, cameras, 3, resize.height, resize.width],
            layout='batch, camera, colour, row, column',
            values='rgb, 0 to 255' if uint8 else '(rgb / 255 - mean) / std',
        ),
        intrinsics: dict(
            dtype='float32',
            shape=[batch, cameras, 3, 3],
            layout='batch, camera, row, column',
            values='pixels of the resized, cropped images',
        ),
        cam_from_ego: dict(
            dtype='float32',
            shape=[batch, cameras, 4, 4],
            layout='batch, camera, row, column',
            values='rigid transforms in metres; ego: x ahead, y left, z up; camera: x right, y down, z ahead',
        ),
        OUTPUT: dict(
            dtype='float32',
            shape=[batch, *output],
            layout='batch, output, row (0 is ahead), column (0 is left)',
            values='logits; their sigmoid is a probability',
        ),
    }


def _onnx_metadata(path: Path) -> dict[str, str | bytes]:
    onnx = require('onnx')
    try:  # a value that is not UTF-8 is of type bytes
        return {prop.key: prop.value for prop in onnx.load(path, load_external_data=False).metadata_props}
    except Exception as error:  # protobuf's error is private to its implementation
        raise DeployError(f'{path}: cannot read: truncated, damaged or not an ONNX file') from error


def _ir_metadata(path: Path) -> dict[str, str]:
    core = openvino_core()
    try:
        model = core.read_model(path)
        names = [field.name for field in fields(GraphInfo) if model.has_rt_info([_SECTION, field.name])]
        return {name: str(model.get_rt_info([_SECTION, name]).value) for name in names}
    except (RuntimeError, UnicodeDecodeError) as error:  # the first is the base class of OpenVINO's errors
        raise DeployError(f'{path}: cannot read: truncated, damaged, not OpenVINO IR, or without its .bin') from error


def _parse(text: str | bytes, where: str) -> Any:
    if len(text) > _LONGEST:
        raise DeployError(f'{where}: expected at most {_LONGEST} characters, found {len(text)}')
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DeployError(f'{where}: expected JSON, found {text!r:.60}') from error


def _is_count(value: Any, lowest: int = 1) -> bool:
    return type(value) is int and lowest <= value <= _MOST_PIXELS


def _is_list(value: Any, check: Callable[[Any], bool], length: int | None = None) -> bool:
    return isinstance(value, list) and length in (None, len(value)) and all(map(check, value))


def _is_grid(value: Mapping) -> bool:
    return max(BEVGrid.from_dict(value).size) <= _MOST_PIXELS


def _is_groups(value: Mapping) -> bool:
    return all(is_name(group.name) for group in build_label_groups(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


#: What the values that we use have to be: check, description.
_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    'format_version': (lambda value: value == FORMAT_VERSION, f'{FORMAT_VERSION}, as of this release'),
    'config': (is_name, 'a name'),
    'image_size': (lambda value: _is_list(value, _is_count, 2), 'height and width'),
    'top_crop': (lambda value: _is_count(value, 0), 'a number of rows'),
    'bev_grid': (_is_grid, f'size (at most {_MOST_PIXELS} cells), metres and offset'),
    'cameras': (lambda value: value is None or _is_count(value), 'a number or null'),
    'camera_names': (lambda value: value is None or _is_list(value, is_name), 'names or null'),
    'batch': (lambda value: value is None or _is_count(value), 'a number or null'),
    'imgs': (lambda value: value in (FLOAT, UINT8), f'{FLOAT!r} or {UINT8!r}'),
    'mean': (lambda value: _is_list(value, _is_number, 3), 'three numbers'),
    'std': (lambda value: _is_list(value, lambda std: _is_number(std) and std > 0, 3), 'three positive numbers'),
    'label_groups': (_is_groups, 'classes and min_visibility of each group'),
}


def _holds(check: Callable[[Any], bool], value: Any) -> bool:
    try:
        return check(value)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return False
