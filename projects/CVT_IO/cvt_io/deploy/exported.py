"""An exported file in the place of the model that it was exported from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import Tensor

from ..labels.description import CAMERAS
from ..models import CVTIOSegmentor
from ..models.data_preprocessor import CVTIODataPreprocessor
from ..models.head import CVTIOHead
from .extras import DeployError
from .graph import INPUTS
from .info import CENTER, UINT8, GraphInfo
from .runtimes import ONNXRUNTIME, OPENVINO, open_runtime

#: Runtimes by the ending of the file's name.
RUNTIME_OF = {'.onnx': ONNXRUNTIME, '.xml': OPENVINO}


def is_exported(path: str | Path) -> bool:
    """Whether a name is that of an exported file."""
    return Path(path).suffix in RUNTIME_OF


def as_config(info: GraphInfo) -> Config:
    """The part of a config that inference needs: grid, cameras and test pipeline."""
    size = tuple(info.image_size)
    pipeline = [
        dict(type='CVTIOLoadImages'),
        dict(type='CVTIOResizeCrop', size=size, top_crop=info.top_crop),
        dict(type='CVTIOPackInputs'),
    ]
    # By default, the cameras are those of the data.
    cameras = None if info.camera_names == [*CAMERAS] else info.camera_names
    return Config(dict(test_dataloader=dict(dataset=dict(bev_grid=info.bev_grid, cameras=cameras, pipeline=pipeline))))


class ExportedSegmentor(CVTIOSegmentor):
    """Predicts with ONNX Runtime (``.onnx``) or OpenVINO (``.xml``) on the CPU. Cannot be trained.

    Args:
        path: the file.
        info: its metadata.

    Raises:
        DeployError: the runtime is not installed or cannot load the file.
    """

    def __init__(self, path: Path, info: GraphInfo) -> None:
        BaseModel.__init__(self, (_RawImages if info.imgs == UINT8 else CVTIODataPreprocessor)(info.mean, info.std))
        centre = dict(center_group=next(iter(info.label_groups)), loss_center=dict(type='CVTIOFocalLoss'))
        no_centre = dict(center_group=None)
        self.head = CVTIOHead(1, info.label_groups, {}, **(centre if CENTER in info.outputs else no_centre))
        self.info = info
        self._path = path
        runtime = RUNTIME_OF[path.suffix]
        self._run = open_runtime(runtime, path if runtime == OPENVINO else path.read_bytes())

    def bev_logits(self, imgs: Tensor, intrinsics: Tensor, cam_from_ego: Tensor) -> Tensor:
        """See :meth:`CVTIOSegmentor.bev_logits`; ``imgs`` are uint8 if the graph normalises them.

        Raises:
            DeployError: the graph is of another number of cameras, or fails.
        """
        cameras = imgs.shape[1]
        if self.info.cameras not in (None, cameras):
            raise DeployError(
                f'{self._path}: expected {self.info.cameras} cameras, found {cameras}; export with --cameras {cameras}'
            )
        inputs = [x.numpy() for x in (imgs, intrinsics, cam_from_ego)]
        return torch.from_numpy(np.concatenate([*self._batches(inputs)]))

    def _batches(self, inputs: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Logits of batches of the size that the graph is made for."""
        total = len(inputs[0])
        size = self.info.batch or total
        for start in range(0, total, size):
            try:
                logits = self._run({k: v[start : start + size] for k, v in zip(INPUTS, inputs, strict=True)})
            except Exception as error:  # the runtimes' errors share no other base class
                reason = (str(error).strip() or repr(error)).splitlines()[0]
                raise DeployError(f'{self._path}: cannot run: {reason}') from error
            expected = (min(size, total - start), len(self.info.outputs), *self.info.bev_grid['size'])
            if logits.shape != expected:
                raise DeployError(f'{self._path}: expected logits of {expected}, found {logits.shape}')
            yield logits


class _RawImages(CVTIODataPreprocessor):
    """For graphs that normalise."""

    def normalise(self, imgs: Tensor) -> Tensor:
        return imgs
