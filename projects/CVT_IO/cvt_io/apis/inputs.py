"""Opening user inputs of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ..datasets.wrappers import first_part
from ..errors import DataError
from ..fileio.records import read_json
from ..geometry import BEVGrid
from ..runtime.config import ConfigError
from .mmdet3d_source import mmdet3d_source
from .nuscenes_source import nuscenes_source
from .rig_source import rig_source
from .source import Source

SPLITS = ('train', 'val', 'test')


def open_source(
    given: str | Path, cfg: Config, frames: Sequence[str] = (), scene: str | None = None, root: Path | None = None
) -> Source:
    """Opens an input.

    Args:
        given: a split of the config's data set, our infos (``.json``), mmdet3d's (``.pkl``), or a rig (``.json``).
        cfg: config of the model.
        frames: tokens or token prefixes to select; all if empty.
        scene: scene to select; None for all.
        root: folder of the images; None for the folder of the file.

    Raises:
        DataError: the input is broken or of another kind.
    """
    dataset = first_part(cfg.test_dataloader.dataset)
    grid, cameras = BEVGrid.from_dict(dataset.bev_grid), dataset.get('cameras')
    path = Path(given)
    if str(given) in SPLITS and not path.exists():
        loader = cfg.get(f'{given}_dataloader')
        dataset = first_part(loader.dataset) if loader else ConfigDict()
        if 'ann_file' not in dataset:  # as if the config is that of an exported file
            raise ConfigError(f'{cfg.filename or "config"}: expected a {given}_dataloader for the input {given!r}')
        path = Path(dataset.data_root, dataset.ann_file)
        root = root or Path(dataset.get('image_root') or dataset.data_root)
    if path.suffix == '.pkl':
        return mmdet3d_source(path, root, cameras, frames, scene)
    if path.suffix != '.json':
        raise DataError(f'{given}: expected {", ".join(SPLITS)}, or a file .json (infos, rig) or .pkl (mmdet3d infos)')
    content = read_json(path)
    if isinstance(content, dict) and 'data_list' in content:
        return nuscenes_source(content, path, grid, root, cameras, frames, scene)
    if isinstance(content, dict) and 'cameras' in content:
        return rig_source(content, path, root, frames, scene)
    raise DataError(f'{path}: expected infos (data_list) or a rig (cameras, frames), found neither')
