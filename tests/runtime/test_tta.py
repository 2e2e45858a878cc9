"""What ``tools/test.py --tta`` makes of a config."""

from __future__ import annotations

import copy

import pytest

from projects.CVT_IO.cvt_io.runtime.config import load_config
from projects.CVT_IO.cvt_io.runtime.tta import use_tta
from tests.tiny import TOY_CONFIG

STEPS = ['CVTIOLoadImages', 'CVTIOResizeCrop', 'CVTIOLoadBEVLabel', 'TestTimeAug']


def test_each_data_set_keeps_its_own_steps():
    """Whatever is changed in them: the image size of all, the crop of one, what another one packs."""
    cfg = load_config(str(TOY_CONFIG), {'image_size': (24, 56)})
    before, model = copy.deepcopy(cfg.test_dataloader.dataset), copy.deepcopy(cfg.model)
    parts = [copy.deepcopy(before) for _ in range(2)]
    parts[0].pipeline[1].top_crop = 7
    parts[1].pipeline[3].meta_keys = ('sample_token',)
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=parts)
    use_tta(cfg)
    one, other = (part.pipeline for part in cfg.test_dataloader.dataset.datasets)
    assert [step.type for step in one] == [step.type for step in other] == STEPS
    assert (one[1].size, one[1].top_crop) == ((24, 56), 7) and other[:3] == before.pipeline[:3]
    flips = [dict(type='CVTIORandomFlip', prob=0.0), dict(type='CVTIORandomFlip', prob=1.0)]
    assert one[3].transforms == [flips, [dict(type='CVTIOPackInputs')]]
    assert other[3].transforms == [flips, [dict(type='CVTIOPackInputs', meta_keys=('sample_token',))]]
    assert (cfg.model.type, cfg.model.module) == ('CVTIOTTAModel', model)
    assert [step.type for step in cfg.val_dataloader.dataset.pipeline][-1] == 'CVTIOPackInputs'


@pytest.mark.parametrize('more', [[], [dict(type='Another')]], ids=['the last step', 'a step between'])
def test_other_augmentations_are_used_as_they_are(more):
    cfg = load_config(str(TOY_CONFIG))
    sizes = [dict(type='CVTIOResizeCrop', size=(48, width), top_crop=15) for width in (112, 128)]
    steps = [sizes, cfg.pipeline[2:3], cfg.pipeline[3:]]
    cfg.tta_pipeline = [cfg.pipeline[0], dict(type='TestTimeAug', transforms=steps), *more]
    use_tta(cfg)
    assert cfg.test_dataloader.dataset.pipeline == cfg.tta_pipeline
