"""Everything in the project that reads files which strangers may have made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..cvt_io.apis.mmdet3d_source import mmdet3d_source
from ..cvt_io.apis.rig_source import rig_source
from ..cvt_io.datasets import CVTIONuScenesDataset
from ..cvt_io.datasets.decoding import EncodedImage
from ..cvt_io.deploy.info import GraphInfo
from ..cvt_io.errors import DataError
from ..cvt_io.fileio import RestrictedUnpickler, read_torch_zip
from ..cvt_io.fileio.checkpoint import read_checkpoint
from ..cvt_io.fileio.records import read_json
from ..cvt_io.labels.codec import read_label
from ..cvt_io.models.pretrained import PretrainedError, load_pretrained
from ..cvt_io.zoo.catalogue import read_catalogue
from ..cvt_io.zoo.verify import identify
from .tiny import GRID

Reader = Callable[[Path], Any]
#: What a reader may raise, in one line.
EXPECTED = (DataError, PretrainedError)


def _read_dataset(path: Path) -> CVTIONuScenesDataset:
    grid = dict(size=GRID.size, metres=GRID.metres)
    return CVTIONuScenesDataset(ann_file=str(path), data_root=str(path.parent), bev_grid=grid, with_labels=False)


def _read_frames(path: Path) -> list[dict]:
    source = mmdet3d_source(path)
    return [source.parse(item) for item in source.items]


READERS: Mapping[str, Reader] = {
    'a checkpoint': read_checkpoint,
    'pre-trained weights': lambda path: load_pretrained(str(path)),
    'an original checkpoint': read_torch_zip,
    'the restricted unpickler': lambda path: RestrictedUnpickler(path.read_bytes(), str(path)).load(),
    "mmdet3d's infos": _read_frames,
    'a data set': _read_dataset,
    'a rig': lambda path: rig_source(read_json(path), path),
    'an image': lambda path: EncodedImage.read(str(path)).decode(),
    'a label': read_label,
    'the catalogue': read_catalogue,
    'an ONNX graph': GraphInfo.read,
    'the verification': lambda path: identify(path, {}),
}
