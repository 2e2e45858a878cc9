"""Resolving a model name to config and weights, and loading it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict

from ..deploy.exported import ExportedSegmentor, as_config, is_exported
from ..deploy.extras import DeployError
from ..deploy.info import GraphInfo
from ..models import CVTIOSegmentor
from ..runtime.config import ConfigError, build_model, load_config, merge_options
from ..zoo.catalogue import REPOSITORY, WeightFile, find, published_weights, read_catalogue
from ..zoo.download import download
from ..zoo.verify import is_intact

CHECKPOINTS = Path('checkpoints')


def find_model(
    model: str | Path | Config | ConfigDict | dict,
    weights: str | Path | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> tuple[Config, Path]:
    """Finds config and weight file of a model.

    Args:
        model: name in the zoo, path of a config, a config, or an exported file, which is both config and weights.
        weights: file or name in the zoo; None for the published weights of the named model.
        cfg_options: overrides of the config, see :func:`merge_options`.

    Raises:
        DataError: model or file does not exist, the model has no published weights, or the config is broken.
    """
    name = None
    if isinstance(model, (str, Path)):
        path = Path(model)
        if is_exported(path):
            if weights is not None or cfg_options:
                raise ConfigError(f'{path}: an exported file takes no weights and no cfg_options')
            return as_config(GraphInfo.read(path)), path
        if path.suffix != '.py':
            name = str(model)
            path = REPOSITORY / find(read_catalogue(), name).config
        cfg = load_config(str(path), cfg_options)
    elif isinstance(model, (Config, dict)):  # as an mmengine ConfigDict is
        cfg = copy.deepcopy(model) if isinstance(model, Config) else Config(copy.deepcopy(dict(model)))
        merge_options(cfg, cfg_options or {}, cfg.filename or 'config')
    else:
        raise ConfigError(f'model: expected a name, path or config, found {type(model).__name__}')
    return cfg, _find_weights(weights if weights is not None else name)


def load_model(cfg: Config, weights: str | Path, device: torch.device) -> CVTIOSegmentor:
    """Loads a checkpoint, or an exported file, for inference.

    Raises:
        DataError: the file cannot be read or does not fit the config; an exported file is to run on a GPU.
    """
    if is_exported(weights):
        path = Path(weights)
        if device.type != 'cpu':
            raise DeployError(f'{path}: exported files run on the CPU, found device {device}')
        info = GraphInfo.read(path)
        if cfg.get('model'):  # not read from the file
            info.check_config(cfg, path)
        return ExportedSegmentor(path, info)
    return build_model(cfg, weights).to(device).eval()


def _find_weights(weights: str | Path | None) -> Path:
    """Path of the weights. Zoo weights are downloaded to ``checkpoints/`` unless they are part of the checkout."""
    if weights is None:
        raise ConfigError('weights: expected a file or a name in the zoo, found none; a config implies no weights')
    path = Path(weights)
    if path.suffix or path.is_file():
        return path  # existence is checked on reading
    published = published_weights(read_catalogue(), str(weights))
    return _in_checkout(published) or download(published, CHECKPOINTS)


def _in_checkout(weights: WeightFile) -> Path | None:
    path = REPOSITORY / weights.location
    return path if '://' not in weights.location and is_intact(path, weights) else None
