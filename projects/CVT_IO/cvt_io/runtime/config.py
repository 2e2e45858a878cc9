"""What the tools do with a config before a Runner sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmdet3d.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope

from ..datasets import CVTIONuScenesDataset
from ..datasets.wrappers import parts_of
from ..errors import ConfigError, DataError
from ..fileio.checkpoint import load_weights
from ..models import CVTIOSegmentor
from .model_checks import check_channels
from .resolve import resolve_config, spread_settings
from .shared_settings import LOADERS


def load_config(path: str, cfg_options: dict[str, Any] | None = None, work_dir: str | None = None) -> Config:
    """Reads a config as mmdet3d's tools do.

    Args:
        path: config file.
        cfg_options: overrides, see :func:`merge_options`.
        work_dir: overrides the config's; the default is ``work_dirs/<config name>``.

    Raises:
        ConfigError: the file or a base of it is missing or broken, an option does not fit, there is no model or no
            data set, or the config contradicts itself.
    """
    if not Path(path).is_file():
        raise ConfigError(f'{path}: no such config')
    with _config_errors(f'{path} or a base of it'):
        cfg = Config.fromfile(path)  # noqa: TID251 - configs are Python
    merge_options(cfg, cfg_options or {}, path)
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(path).stem))
    return cfg


def merge_options(cfg: Config, cfg_options: Mapping[str, Any], where: str) -> None:
    """Overrides settings of a config and resolves it, see :func:`resolve_config`.

    Args:
        cfg: changed in place.
        cfg_options: ``{'a.b': value}``.
        where: the config's name for error messages.

    Raises:
        ConfigError: an option does not fit, or the config contradicts itself.
    """
    spread_settings(cfg)
    with _config_errors(f'{where}: options'):
        cfg.merge_from_dict(dict(cfg_options))
    _check_keys(cfg, where)
    try:
        resolve_config(cfg, cfg_options)
    except ConfigError as error:
        raise ConfigError(f'{where}: {error}') from error


def load_configs(paths: Sequence[str], flag: str, cfg_options: dict[str, Any] | None = None) -> dict[str, Config]:
    """Reads several configs with the same options; by the names of their files.

    Raises:
        ConfigError: as :func:`load_config`, or two have the same name; names the command line's flag.
    """
    cfgs: dict[str, Config] = {}
    for path in paths:
        name = Path(path).stem
        if name in cfgs:
            raise ConfigError(f'{flag}: expected configs of different names, found {name} twice')
        cfgs[name] = load_config(path, cfg_options)
    return cfgs


def build_model(cfg: Config, checkpoint: str | Path | None = None) -> CVTIOSegmentor:
    """The config's model, with random weights unless a checkpoint is given.

    Raises:
        CheckpointError: the checkpoint cannot be read or does not fit.
        ConfigError: an argument of a part is unknown, missing or wrong, or it is another project's model.
    """
    with _config_errors(f'{cfg.filename}: model'):
        model = MODELS.build(cfg.model)
    if not isinstance(model, CVTIOSegmentor):
        raise ConfigError(f'{cfg.filename}: model: expected a CVTIOSegmentor, found {type(model).__name__}')
    try:
        check_channels(model, cfg.model)
    except ConfigError as error:
        raise ConfigError(f'{cfg.filename}: {error}') from error
    if checkpoint is not None:
        load_weights(model, checkpoint)
    return model


def build_dataset(cfg: Config, loader: str) -> BaseDataset:
    """The data set of a data loader, for example of ``train_dataloader``; its infos are read on first use.

    Raises:
        ConfigError: the config has no such data loader, or an argument is unknown, missing or wrong.
    """
    if not cfg.get(loader):
        raise ConfigError(f'{cfg.filename}: no {loader}')
    return _build_lazily(cfg[loader].dataset, f'{cfg.filename}: {loader}.dataset')


def build_nuscenes_dataset(cfg: Config, loader: str) -> CVTIONuScenesDataset:
    """As :func:`build_dataset`, for tools that need our own data set.

    Raises:
        ConfigError: as there, or it is another one.
    """
    dataset = build_dataset(cfg, loader)
    if not isinstance(dataset, CVTIONuScenesDataset):
        raise ConfigError(f'{cfg.filename}: expected a CVTIONuScenesDataset, found {type(dataset).__name__}')
    return dataset


def require_data(cfg: Config, *loaders: str) -> None:
    """Checks the infos of data loaders before anything slow is built.

    Raises:
        DataError: they are missing, or their labels lack a class of the model's label groups.
    """
    for loader in filter(cfg.get, loaders):
        for part in parts_of(cfg[loader].dataset):
            dataset = _build_lazily(part, f'{cfg.filename}: {loader}.dataset')
            if isinstance(dataset, CVTIONuScenesDataset):
                dataset.check_prepared(Path(dataset.ann_file), dataset.data_root, dataset.bev_grid)
                _check_classes(cfg, dataset)


def _build_lazily(config: Mapping, where: str) -> BaseDataset:
    # mmengine's wrappers look for what they wrap in the default scope.
    with _config_errors(where), DefaultScope.overwrite_default_scope('mmdet3d'):
        return DATASETS.build(dict(config, lazy_init=True))


def _check_classes(cfg: Config, dataset: CVTIONuScenesDataset) -> None:
    """Raises a ``DataError`` if a label group has a class that the labels cannot have."""
    missing = set(dataset.missing_classes()) if dataset.with_labels else set()
    for name, group in (cfg.model.get('head', {}).get('label_groups') or {}).items():
        found = [class_name for class_name in group['classes'] if class_name in missing]
        if found:
            raise DataError(
                f'{dataset.ann_file}: label group {name}: expected labels with {", ".join(found)}, which these data do '
                'not have (no map or not all of its layers, boxes or masks alone); choose another label group'
            )


@contextmanager
def _config_errors(where: str) -> Iterator[None]:
    """Whatever mmengine raises on a wrong config becomes a ``ConfigError`` of one line."""
    try:
        yield
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        text = str(cause.args[0] if isinstance(cause, KeyError) else cause).strip()
        raise ConfigError(f'{where}: {type(cause).__name__}: {text.partition(chr(10))[0]}') from error


def _check_keys(cfg: Config, path: str) -> None:
    """Checks that there are a model and data sets, each with its type."""
    parts = {'model': cfg.get('model')}
    for loader in filter(cfg.get, LOADERS):
        parts[f'{loader}.dataset'] = cfg[loader].get('dataset') if isinstance(cfg[loader], Mapping) else None
    for key, part in parts.items():
        if not isinstance(part, Mapping) or 'type' not in part:
            raise ConfigError(f'{path}: {key}: expected a dict with a type, found {part!r:.60}')
    if len(parts) == 1:
        raise ConfigError(f'{path}: expected one of {", ".join(LOADERS)}, found none')
