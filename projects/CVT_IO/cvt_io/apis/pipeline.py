"""Pipelines from a frame of a :class:`Source` to the model's input."""

from __future__ import annotations

from mmdet3d.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose

from ..datasets.wrappers import first_part
from ..runtime.batches import image_size

#: Keys of a :class:`Source` frame that are kept with the prediction.
META_KEYS = ('sample_token', 'scene_name', 'images', 'notes')


def build_pipeline(cfg: Config, any_rig: bool) -> Compose:
    """Builds the config's test pipeline without label loading, which is up to the source.

    Args:
        cfg: the config.
        any_rig: whether to accept images of any size and colour mode; :class:`CVTIOFitImages` then fits them.

    Raises:
        ConfigError: the pipeline has no ``CVTIOResizeCrop``.
    """
    size = image_size(cfg)
    steps = []
    for step in first_part(cfg.test_dataloader.dataset).pipeline:
        if step['type'] == 'CVTIOLoadBEVLabel':
            continue
        if step['type'] == 'CVTIOPackInputs':
            step = dict(step, meta_keys=META_KEYS)
        elif step['type'] == 'CVTIOLoadImages' and any_rig:
            step = dict(step, any_colour=True)
        elif step['type'] == 'CVTIOResizeCrop' and any_rig:
            step = dict(type='CVTIOFitImages', size=size)
        steps.append(TRANSFORMS.build(step))
    return Compose(steps)
