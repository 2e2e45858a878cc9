"""Test-time augmentation, as mmdet3d's ``tools/test.py --tta`` sets it up."""

from __future__ import annotations

import copy

from mmengine.config import Config, ConfigDict

from ..datasets.wrappers import parts_of
from ..errors import ConfigError

#: Steps of a ``TestTimeAug`` that only flips.
_FLIPS = [['CVTIORandomFlip', 'CVTIORandomFlip'], ['CVTIOPackInputs']]


def use_tta(cfg: Config) -> None:
    """Wraps the model in ``tta_model`` and lets the test data sets use ``tta_pipeline``.

    If the latter ends in a ``TestTimeAug`` that only flips, each data set keeps its own steps before that, so that they
    need not be repeated for test-time augmentation.

    Args:
        cfg: changed in place.

    Raises:
        ConfigError: one of the two keys is missing.
    """
    for key in ('tta_model', 'tta_pipeline'):
        if not cfg.get(key):
            raise ConfigError(f'{cfg.filename}: {key}: expected as in configs/_base_/datasets/nuscenes.py, found none')
    last = cfg.tta_pipeline[-1]
    flips = [[step['type'] for step in steps] for steps in last.get('transforms', ())] == _FLIPS
    for part in parts_of(cfg.test_dataloader.dataset):
        pipeline = cfg.tta_pipeline
        if flips:
            pipeline = [*part.pipeline[:-1], ConfigDict(last, transforms=[last.transforms[0], part.pipeline[-1:]])]
        part.pipeline = copy.deepcopy(pipeline)
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
