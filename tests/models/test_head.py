from pathlib import Path

import pytest
import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from torch import nn

from projects.CVT_IO.cvt_io.models import CVTIOHead
from tests.models import naive
from tests.models.cases import TOLERANCE, error, random_grid, random_weights, weights_of

CONFIGS = Path(__file__).parents[2] / 'configs'
VEHICLES = (4, 5, 6, 7, 8, 10, 11)
VEHICLE = dict(classes=['car', 'truck', 'bus', 'trailer', 'construction', 'motorcycle', 'bicycle'], min_visibility=2)
FOCAL = dict(type='CVTIOFocalLoss', gamma=2.0, loss_weight=1.0)
CENTER = dict(type='CVTIOFocalLoss', gamma=2.0, loss_weight=0.1)


def random_sample(seed: int, size: tuple[int, int] = (5, 7)) -> Det3DDataSample:
    generator = torch.Generator().manual_seed(seed)
    visibility = torch.tensor([1, 2, 3, 4, 255], dtype=torch.uint8)
    sample = Det3DDataSample(metainfo=dict(sample_token=str(seed)))
    sample.gt_bev = BaseDataElement(
        classes=(torch.rand(12, *size, generator=generator) < 0.15).to(torch.uint8),
        visibility=visibility[torch.randint(5, size, generator=generator)],
        center=torch.rand(*size, generator=generator) * (torch.rand(*size, generator=generator) < 0.3),
    )
    return sample


def union(samples: list[Det3DDataSample], classes: tuple[int, ...]) -> torch.Tensor:
    """Pixel by pixel: is any of the classes there?"""
    return torch.stack([sum(sample.gt_bev.classes[c].float() for c in classes).clamp(max=1) for sample in samples])


def visible(samples: list[Det3DDataSample]) -> torch.Tensor:
    return torch.stack([sample.gt_bev.visibility > 1 for sample in samples])


def centers(samples: list[Det3DDataSample]) -> torch.Tensor:
    return torch.stack([sample.gt_bev.center for sample in samples])


def head_from_config(name: str) -> CVTIOHead:
    return MODELS.build(Config.fromfile(CONFIGS / f'{name}.py').model.head)


@pytest.mark.parametrize('dtype', TOLERANCE)
def test_logits_equal_the_naive_ones(dtype):
    head = random_weights(CVTIOHead(8, dict(vehicle=VEHICLE), dict(focal=FOCAL), 'vehicle', CENTER).to(dtype))
    bev = random_grid(2, 8, 3, 4)
    assert error(head(bev.to(dtype)), naive.to_logits(weights_of(head.to_logits), bev)) < TOLERANCE[dtype]


@pytest.mark.parametrize('config, outputs', [('cvt', 2), ('cvt_io_v2_2', 2), ('cvt_road', 1), ('cvt_io_v2_2_joint', 5)])
def test_layers(config, outputs):
    conv, norm, _, last = head_from_config(config).to_logits
    assert (tuple(conv.weight.shape), conv.bias) == ((64, 64, 3, 3), None)
    assert (type(norm), norm.eps, norm.momentum) == (nn.BatchNorm2d, 1e-5, 0.1)
    assert (tuple(last.weight.shape), tuple(last.bias.shape)) == ((outputs, 64, 1, 1), (outputs,))


JOINT = {'vehicle': VEHICLES, 'road': (0, 1), 'divider': (2, 3), 'pedestrian': (9,)}


@pytest.mark.parametrize(
    ('config', 'groups'),
    [
        ('cvt', {'vehicle': VEHICLES}),
        ('cvt_io_v2_2', {'vehicle': VEHICLES}),
        ('cvt_road', {'road': (0, 1)}),
        ('cvt_io_v2_2_road', {'road': (0, 1)}),
        ('cvt_io_v2_2_joint', JOINT),
    ],
)
def test_losses_equal_the_naive_ones(config, groups):
    """Each group has its channel, mask and loss; roads alone have a cross-entropy too, vehicles a centre."""
    head, samples = head_from_config(config), [random_sample(i) for i in range(3)]
    assert [group.name for group in head.groups] == list(groups)
    logits = 2 * random_grid(3, len(groups) + ('vehicle' in groups), 5, 7).float()
    keep, expected = visible(samples), {}
    assert 0.1 < 1 - keep.float().mean() < 0.3  # a fifth of the pixels is left out
    for channel, (name, classes) in enumerate(groups.items()):
        args = logits[:, channel], union(samples, classes), keep if name == 'vehicle' else None
        expected[f'loss_{name}_focal'] = naive.mean_loss(*args)
        if list(groups) == ['road']:
            expected['loss_road_bce'] = naive.mean_loss(*args, gamma=0, weight=0.1)
    if 'vehicle' in groups:
        expected['loss_center'] = naive.mean_loss(logits[:, -1], centers(samples), keep, weight=0.1)
    found = {name: loss.item() for name, loss in head.loss(logits, samples).items()}
    assert found == pytest.approx(expected, rel=1e-5)


def test_center_uses_the_mask_of_its_group_wherever_that_stands():
    groups = dict(road=dict(classes=['lane']), vehicle=VEHICLE)
    head = CVTIOHead(8, groups, dict(focal=FOCAL), 'vehicle', CENTER)
    samples, logits = [random_sample(i) for i in range(2)], random_grid(2, 3, 5, 7).float()
    expected = naive.mean_loss(logits[:, 2], centers(samples), visible(samples), weight=0.1)
    assert head.loss(logits, samples)['loss_center'].item() == pytest.approx(expected, rel=1e-5)


def test_nothing_visible_gives_zero_losses_and_finite_gradients():
    head = CVTIOHead(8, dict(vehicle=VEHICLE), dict(focal=FOCAL), 'vehicle', CENTER)
    sample, logits = random_sample(0), random_grid(1, 2, 5, 7).float().requires_grad_()
    sample.gt_bev.visibility.fill_(1)
    losses = head.loss(logits, [sample])
    assert [loss.item() for loss in losses.values()] == [0, 0]
    sum(losses.values()).backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_predict():
    head = CVTIOHead(8, dict(vehicle=VEHICLE, road=dict(classes=['lane'])), dict(focal=FOCAL), 'vehicle', CENTER)
    samples, logits = [random_sample(i) for i in range(2)], 3 * random_grid(2, 3, 5, 7).float()
    predicted = head.predict(logits, samples)
    probability = 1 / (1 + torch.exp(-logits.double()))
    for i, sample in enumerate(predicted):
        assert sample.sample_token == str(i)
        assert sample.gt_bev.classes.shape == (12, 5, 7)
        assert sample.pred_bev.scores.dtype == torch.float32
        assert error(sample.pred_bev.scores, probability[i, :2]) < 1e-6
        assert error(sample.pred_bev.center, probability[i, 2]) < 1e-6


def test_predict_without_center():
    head = CVTIOHead(8, dict(road=dict(classes=['lane'])), dict(focal=FOCAL), center_group=None)
    (sample,) = head.predict(torch.zeros(1, 1, 5, 7), [random_sample(0)])
    assert sample.pred_bev.keys() == ['scores']
    assert torch.equal(sample.pred_bev.scores, torch.full((1, 5, 7), 0.5))


@pytest.mark.parametrize('center_group, loss_center', [('lorry', CENTER), ('vehicle', None)])
def test_a_center_of_no_group_or_without_loss_is_refused(center_group, loss_center):
    with pytest.raises(ValueError, match='center_group'):
        CVTIOHead(8, dict(vehicle=VEHICLE), dict(focal=FOCAL), center_group, loss_center)
