"""Metadata of an exported graph."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mmdet3d.registry import MODELS
from mmengine.config import Config

from .. import __version__
from ..runtime.batches import image_size
from .extras import DeployError, require
from .graph import GraphOptions


@dataclass(frozen=True)
class GraphInfo:
    """Metadata of a graph, stored as one JSON value per key.

    Attributes:
        config: name of the config.
        project_version: version of this project.
        image_size: [height, width].
        bev_grid: grid of the logits, as in the config.
        cameras: number of cameras, or ``None`` for any.
        batch: the fixed batch size, or ``None`` for any.
        imgs: ``float32, normalised`` by mean and std, or ``uint8``, RGB in 0…255.
        mean: (R, G, B), for images in [0, 1].
        std: (R, G, B), for images in [0, 1].
        precision: ``fp32`` or ``fp16``.
        label_groups: label groups of the config's head.
        outputs: names of the logits' channels.
    """

    config: str
    project_version: str
    image_size: list[int]
    bev_grid: dict[str, Any]
    cameras: int | None
    batch: int | None
    imgs: str
    mean: list[float]
    std: list[float]
    precision: str
    label_groups: dict[str, Any]
    outputs: list[str]

    @classmethod
    def from_config(cls, cfg: Config, options: GraphOptions) -> GraphInfo:
        """Metadata of the graph exported from a config."""
        head, normalise = cfg.model.head, MODELS.build(cfg.model.data_preprocessor)
        # Convert tuples to lists, as JSON does.
        groups, grid = json.loads(json.dumps([head.label_groups, cfg.bev_grid]))
        return cls(
            config=Path(cfg.filename).stem,
            project_version=__version__,
            image_size=[*image_size(cfg)],
            bev_grid=grid,
            cameras=None if options.dynamic_cameras else options.cameras,
            batch=None if options.dynamic_batch else 1,
            imgs='uint8' if options.uint8 else 'float32, normalised',
            mean=normalise.mean.flatten().tolist(),
            std=normalise.std.flatten().tolist(),
            precision='fp16' if options.fp16 else 'fp32',
            label_groups=groups,
            outputs=[*groups, *(['center'] if head.get('center_group', 'vehicle') else [])],
        )

    def to_metadata(self) -> dict[str, str]:
        """Properties for ``onnx.helper.set_model_props``."""
        return {name: json.dumps(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, path: Path) -> GraphInfo:
        """Reads the metadata of a file.

        Raises:
            DeployError: the file is missing, not an ONNX file, or was not exported by this project.
        """
        onnx = require('onnx')
        if not path.is_file():
            raise DeployError(f'{path}: no such ONNX file')
        try:
            found = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
        except Exception as error:  # protobuf's error is private to its implementation
            raise DeployError(f'{path}: cannot read: truncated, damaged or not an ONNX file') from error
        missing = [field.name for field in fields(cls) if field.name not in found]
        if missing:
            raise DeployError(f'{path}: metadata: expected {missing[0]!r}; was it exported by export_onnx.py?')
        try:
            return cls(**{field.name: json.loads(found[field.name]) for field in fields(cls)})
        except (ValueError, RecursionError) as error:
            raise DeployError(f'{path}: metadata: expected one JSON value per key, found other text') from error

    def check_config(self, cfg: Config, path: Path) -> None:
        """Checks that data and metric of a config match the graph.

        Raises:
            DeployError: they differ.
        """
        wanted = GraphInfo.from_config(cfg, GraphOptions())
        for name in ('image_size', 'bev_grid', 'mean', 'std', 'label_groups', 'outputs'):
            expected, found = getattr(wanted, name), getattr(self, name)
            if found != expected:
                raise DeployError(
                    f'{path}: {name}: expected {expected} as in {cfg.filename}, found {found} (exported from '
                    f'{self.config})'
                )
