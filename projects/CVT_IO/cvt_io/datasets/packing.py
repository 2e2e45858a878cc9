"""Packing a frame into tensors and a data sample."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import Det3DDataSample
from mmengine.structures import BaseDataElement


@TRANSFORMS.register_module()
class CVTIOPackInputs(BaseTransform):
    """Packs a frame for the data preprocessor.

    Returns ``inputs`` with ``imgs`` (n, 3, H, W) uint8 RGB, ``intrinsics`` (n, 3, 3) and ``cam_from_ego`` (n, 4, 4)
    float32; ``data_samples``, a ``Det3DDataSample`` with the calibration, ``flip`` and ``meta_keys`` as metainfo and,
    if there is a label, ``gt_bev`` with ``classes`` (12, h, w) uint8, ``visibility`` (h, w) uint8 and ``center`` (h, w)
    float32.

    Args:
        meta_keys: keys of the frame to keep as metainfo.
    """

    def __init__(self, meta_keys: Sequence[str] = ('sample_token', 'scene_name', 'sample_idx')) -> None:
        self.meta_keys = meta_keys

    def transform(self, results: dict) -> dict:
        """Packs."""
        imgs = np.stack([cv2.split(img) for img in results['imgs']])
        calibration = {key: results[key].astype(np.float32) for key in ('intrinsics', 'cam_from_ego')}
        metainfo = {key: results[key] for key in self.meta_keys if key in results} | calibration
        sample = Det3DDataSample(metainfo=metainfo | dict(flip=results.get('flip', False)))
        label = results.get('gt_bev')
        if label is not None:
            sample.gt_bev = BaseDataElement(
                classes=torch.from_numpy(label.classes),
                visibility=torch.from_numpy(label.visibility),
                center=torch.from_numpy(label.center),
            )
        inputs = {'imgs': imgs} | calibration
        return dict(inputs={key: torch.from_numpy(value) for key, value in inputs.items()}, data_samples=sample)
