"""Test-time augmentation: the mirror image of a frame is predicted as the frame is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.transforms import TestTimeAug as MakeVariants
from mmdet3d.registry import MODELS
from mmengine.dataset import pseudo_collate
from mmengine.structures import BaseDataElement
from torch import nn

from projects.CVT_IO.cvt_io.datasets import CVTIOPackInputs, CVTIORandomFlip
from projects.CVT_IO.cvt_io.errors import ConfigError
from projects.CVT_IO.cvt_io.geometry import BEVGrid, project
from projects.CVT_IO.cvt_io.models import CVTIOTTAModel, unwrap_model
from tests.models.cases import TALL, error, generic_rig, grid_settings, random_weights, surround_rig
from tests.models.test_segmentor import NECKS, segmentor_of

SIZE = (36, 52)
#: 24 × 16 cells with the ego off the centre.
GRID = BEVGrid(**grid_settings(TALL))


def frames(cameras: int = 4, make_rig=surround_rig) -> list[dict]:
    """Two frames of noise, before packing."""
    rig, rng = make_rig(2, cameras, SIZE), np.random.default_rng(0)
    return [
        dict(
            imgs=[*rng.integers(0, 256, (cameras, *SIZE, 3), dtype=np.uint8)],
            intrinsics=rig.intrinsics[b].numpy(),
            cam_from_ego=rig.cam_from_ego[b].numpy(),
        )
        for b in range(2)
    ]


def predicted(model: nn.Module, results: list[dict], *flips: float) -> list[BaseDataElement]:
    """``pred_bev`` of frames whose variants are flipped or not."""
    make = MakeVariants([[CVTIORandomFlip(prob) for prob in flips], [CVTIOPackInputs(('sample_token',))]])
    samples = CVTIOTTAModel(model).test_step(pseudo_collate([make(dict(each)) for each in results]))
    assert not any(sample.flip for sample in samples)
    return [sample.pred_bev for sample in samples]


class Painter(nn.Module):
    """A model that is right by construction: each BEV cell gets the mean colour that the cameras see on the ground."""

    def test_step(self, data: dict) -> list:
        y, x = np.meshgrid(*(np.arange(n) for n in GRID.size), indexing='ij')
        ground = np.stack([x, y, np.ones_like(x)], -1) @ GRID.ego_from_pixels.T
        ground[..., 2] = 0  # metres (x, y, z)
        for imgs, sample in zip(data['inputs']['imgs'], data['data_samples'], strict=True):
            total = torch.zeros(3, *GRID.size)
            for img, *camera in zip(imgs.float(), sample.intrinsics, sample.cam_from_ego, strict=True):
                pixels, depth = project(ground, *(matrix.astype(np.float64) for matrix in camera))
                places = torch.from_numpy(pixels / [SIZE[1], SIZE[0]] * 2 - 1).float()[None]
                total += F.grid_sample(img[None], places.clamp(-9, 9), align_corners=False)[0] * torch.from_numpy(
                    depth > 1
                )
            sample.pred_bev = BaseDataElement(scores=total[:2] / 255, center=total[2] / 255)
        return data['data_samples']


@pytest.mark.parametrize('make_rig', [surround_rig, generic_rig])
def test_a_model_that_is_right_predicts_the_same_for_the_mirror_image(make_rig):
    results = frames(make_rig=make_rig)
    plain, both = predicted(Painter(), results, 0.0), predicted(Painter(), results, 0.0, 1.0)
    for one, other in zip(plain, both, strict=True):
        assert one.scores.std() > 0.05
        for key in ('scores', 'center'):
            assert torch.equal(other.get(key)[..., 0], one.get(key)[..., 0])
            torch.testing.assert_close(other.get(key), one.get(key), rtol=0, atol=2e-3)


@pytest.mark.parametrize('neck', NECKS)
@torch.no_grad()
def test_any_model_predicts_the_mirror_image_of_a_mirrored_frame(neck):
    """Whatever the weights; without augmentation it does not."""
    model, results = random_weights(segmentor_of(neck)), frames()
    mirrored = [CVTIORandomFlip(1.0).transform(dict(each)) for each in results]
    for each in mirrored:
        del each['flip']  # as if it were another frame
    for flips, same in (((0.0, 1.0), True), ((0.0,), False)):
        for one, other in zip(predicted(model, results, *flips), predicted(model, mirrored, *flips), strict=True):
            for key in ('scores', 'center'):
                difference = error(other.get(key)[..., 1:].flip(-1), one.get(key)[..., 1:])
                assert (difference < 1e-4) == same, (key, difference)


@torch.no_grad()
def test_mean_of_probabilities_of_all_groups():
    model, results = random_weights(segmentor_of('v2')), frames()
    groups = dict(vehicle=dict(classes=['car']), road=dict(classes=['lane']))
    model.head = random_weights(
        MODELS.build(dict(type='CVTIOHead', in_channels=4, label_groups=groups, losses={}, center_group=None))
    )
    (first, *_), (both, *_) = predicted(model, results, 0.0), predicted(model, results, 0.0, 1.0)
    with pytest.raises(ConfigError, match='expected the first variant without a flip'):
        predicted(model, results, 1.0, 0.0)
    flipped = model.test_step(pseudo_collate([CVTIOPackInputs()(CVTIORandomFlip(1.0)(dict(results[0])))]))[0].pred_bev
    assert both.scores.shape == (2, 24, 16) and 'center' not in both
    for column in range(16):  # by the grid: the mirror image of y is −y
        y = (GRID.ego_from_pixels @ [column, 0, 1])[1]
        other = round((GRID.pixels_from_ego @ [0, -y, 1])[0])
        wanted = first.scores[..., column]
        if other < 16:
            wanted = (wanted + flipped.scores[..., other]) / 2
        assert error(both.scores[..., column], wanted) < 1e-6


def test_the_model_inside():
    model = segmentor_of('v2')
    assert unwrap_model(CVTIOTTAModel(model)) is model is unwrap_model(model)
