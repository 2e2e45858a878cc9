"""Description of a data set in nuScenes' table format; the default is nuScenes itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from ..errors import DataError
from ..fileio.checks import is_name
from .classes import CLASSES, FIRST_BOX_CLASS, PEDESTRIAN
from .codec import VISIBILITIES

CAMERAS = ('CAM_FRONT_LEFT', 'CAM_FRONT', 'CAM_FRONT_RIGHT', 'CAM_BACK_LEFT', 'CAM_BACK', 'CAM_BACK_RIGHT')
LIDAR = 'LIDAR_TOP'
#: A value of ``categories``: a vehicle that belongs to no class, like nuScenes' emergency vehicles.
OTHER_VEHICLE = 'vehicle'
_BOX_CLASSES = CLASSES[FIRST_BOX_CLASS:]


@dataclass(frozen=True)
class DatasetDescription:
    """A data set of nuScenes' tables; docs/own_data.md explains each field with examples.

    Attributes:
        name: name of the data set, stored in its infos.
        version: folder of the tables below the data set's root.
        cameras: channels of the cameras, in the order of the model's input.
        reference: channel whose timestamp defines a key frame's ego pose; None for ``LIDAR_TOP`` or, if there is no
            such sensor, the first camera.
        splits: ``official`` for nuScenes' scenes; ``{val_share: 0.2, seed: 0}``; a JSON file ``{split: [scene, …]}``;
            or such a mapping, in which a list can also be a text file with one scene per line. Splits are train, val
            and test.
        categories: category name → one of the box classes, ``vehicle`` for another vehicle, or None for anything else.
            If omitted, nuScenes' rule applies (:func:`class_of`).
        visibility: token or level of the visibility table → 1, 2, 3 or 4, from 0–40 % to 80–100 % visible. A vehicle
            without visibility counts as fully visible.
        map: whether to use the map expansion, if available.
        masks: class → ``.png`` or ``.npz`` file of a frame, a path below the data set's root with ``{scene}`` and
            ``{token}``. If given, labels are made from these masks instead of boxes and map.
        labelled: whether to make labels.
        folder: folder that the files of ``splits`` are relative to.

    Raises:
        DataError: a field is invalid.
    """

    name: str = 'nuscenes'
    version: str = 'v1.0-trainval'
    cameras: tuple[str, ...] = CAMERAS
    reference: str | None = None
    splits: str | Mapping[str, Any] = 'official'
    categories: Mapping[str, str | None] = field(default_factory=dict)
    visibility: Mapping[str, int] = field(default_factory=lambda: {str(level): level for level in VISIBILITIES})
    map: bool = True
    masks: Mapping[str, str] = field(default_factory=dict)
    labelled: bool = True
    folder: Path = Path()

    def __post_init__(self) -> None:
        cameras = self.cameras
        if isinstance(cameras, str) or not isinstance(cameras, Sequence) or not all(map(is_name, cameras)):
            raise DataError(f'cameras: expected a list of names, found {cameras!r:.100}')
        if not cameras or len(set(cameras)) < len(cameras):
            raise DataError(f'cameras: expected at least one camera, each once, found {", ".join(cameras) or "none"}')
        for key in ('categories', 'visibility', 'masks'):
            if not isinstance(getattr(self, key), Mapping):
                raise DataError(f'{key}: expected a mapping, found {getattr(self, key)!r:.100}')
        for category, name in self.categories.items():
            _expect(name, (*_BOX_CLASSES, OTHER_VEHICLE, None), f'categories.{category}')
        for token, level in self.visibility.items():
            _expect(level, VISIBILITIES, f'visibility.{token}')
        for name, template in self.masks.items():
            _expect(name, CLASSES, 'masks')
            if not isinstance(template, str) or not template.endswith(('.png', '.npz')) or '{token}' not in template:
                raise DataError(
                    f'masks.{name}: expected a path with {{token}} that ends in .png or .npz, got {template!r}'
                )

    @property
    def has_labels(self) -> bool:
        """Whether the frames get labels. nuScenes' test version has no annotations."""
        return self.labelled and self.version != 'v1.0-test'

    def category(self, name: str) -> str:
        """Translates a category to a nuScenes name for :func:`class_of` and :func:`is_vehicle`."""
        if not self.categories:
            return name
        own = self.categories.get(name)
        if own is None:
            return 'other'
        return own if own in (OTHER_VEHICLE, CLASSES[PEDESTRIAN[0]]) else f'{OTHER_VEHICLE}.{own}'


def read_description(path: Path) -> DatasetDescription:
    """Reads a description from a YAML, JSON or Python file whose keys are the fields.

    Raises:
        DataError: the file is missing or broken, a key is unknown or a value is invalid.
    """
    try:
        if path.suffix == '.py':
            content = Config.fromfile(path).to_dict()  # noqa: TID251 - Python descriptions are configs
        else:
            content = yaml.safe_load(path.read_text(encoding='utf-8-sig'))
    except OSError as error:
        raise DataError(f'{path}: cannot read description: {error.strerror}') from error
    except Exception as error:  # whatever YAML or Python says, on one line
        raise DataError(f'{path}: unreadable description: {" ".join(str(error).split())}') from error
    known = [f.name for f in fields(DatasetDescription) if f.name != 'folder']
    if not isinstance(content, dict):
        raise DataError(f'{path}: expected the keys {", ".join(known)}, found {content!r:.60}')
    unknown = [key for key in content if key not in known]
    if unknown:
        raise DataError(f'{path}: {unknown[0]}: unknown key; expected {", ".join(known)}')
    for key in ('categories', 'visibility'):  # YAML reads 1 as a number
        if isinstance(content.get(key), dict):
            content[key] = {str(name): value for name, value in content[key].items()}
    if isinstance(content.get('cameras'), list):
        content['cameras'] = tuple(content['cameras'])
    try:
        return DatasetDescription(**content, folder=path.parent)
    except DataError as error:
        raise DataError(f'{path}: {error}') from error


def _expect(value: Any, known: Sequence, where: str) -> None:
    if value not in known or isinstance(value, bool):
        raise DataError(f'{where}: expected one of {", ".join(map(str, known))}, found {value!r:.60}')
