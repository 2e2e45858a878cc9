from pathlib import Path

import pytest
import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from torch import nn

from projects.CVT_IO.cvt_io.models import CVTIOSegmentor
from tests.models import naive
from tests.models.cases import (
    TALL,
    error,
    generic_rig,
    grid_settings,
    random_grid,
    random_share,
    random_weights,
    rig_of,
    surround_rig,
    weights_of,
)

CONFIGS = Path(__file__).parents[2] / 'configs'
FOCAL = dict(type='CVTIOFocalLoss')
BEV_GRID = grid_settings(TALL)  # 24×16 cells, coarse 3×2
NECKS = {
    'cvt': dict(type='CVTIOCrossViewNeck'),
    'v1': dict(type='CVTIOLatentNeck', latents_per_camera=True, latent_size=(2, 3), depth=2),
    'v2': dict(type='CVTIOLatentNeck', latent_size=(2, 3), depth=2),
}


def segmentor_of(neck: str) -> CVTIOSegmentor:
    """b0 taps of 24 and 112 channels, 16-channel neck, 4-channel BEV features."""
    return MODELS.build(
        dict(
            type='CVTIOSegmentor',
            backbone=dict(type='CVTIOEfficientNet', arch='b0', out_blocks=(2, 10)),
            neck=NECKS[neck] | dict(in_channels=(24, 112), bev_grid=BEV_GRID, dim=16, heads=2, head_dim=8),
            bev_decoder=dict(type='CVTIOBEVDecoder', in_channels=16, channels=(8, 8, 4)),
            head=dict(
                type='CVTIOHead',
                in_channels=4,
                label_groups=dict(vehicle=dict(classes=['car'], min_visibility=2)),
                losses=dict(focal=FOCAL),
                loss_center=dict(type='CVTIOFocalLoss', loss_weight=0.1),
            ),
        )
    )


def inputs_of(cameras: int, image_size: tuple[int, int] = (36, 52), make_rig=surround_rig) -> dict[str, torch.Tensor]:
    rig = make_rig(2, cameras, image_size)
    brightness = torch.arange(cameras).view(cameras, 1, 1, 1)  # so that the cameras' features differ clearly
    return dict(
        imgs=random_grid(2, cameras, 3, *image_size, seed=1).float() + brightness,
        intrinsics=rig.intrinsics.float(),
        cam_from_ego=rig.cam_from_ego.float(),
    )


def samples_of(size: tuple[int, int] = TALL.size) -> list[Det3DDataSample]:
    samples = [Det3DDataSample(metainfo=dict(sample_token=str(i))) for i in range(2)]
    for i, sample in enumerate(samples):
        sample.gt_bev = BaseDataElement(
            classes=(random_share(12, *size, seed=i) < 0.2).to(torch.uint8),
            visibility=torch.full(size, 255, dtype=torch.uint8),
            center=random_share(*size, seed=i + 2).float(),
        )
    return samples


@torch.no_grad()
@pytest.mark.parametrize(
    'neck, cameras, make_rig', [('cvt', 4, surround_rig), ('v1', 3, generic_rig), ('v2', 1, generic_rig)]
)
def test_everything_after_the_backbone_equals_the_naive_network(neck, cameras, make_rig):
    model, inputs = random_weights(segmentor_of(neck)), inputs_of(cameras, make_rig=make_rig)
    in_float32 = model.bev_logits(**inputs)
    images = [(b, n) for b in range(2) for n in range(cameras)]
    scales = model.backbone(torch.stack([inputs['imgs'][b, n] for b, n in images]))
    features = [
        torch.stack([scale[[images.index((b, n)) for n in range(cameras)]] for b in range(2)]) for scale in scales
    ]
    assert [f.shape for f in features] == [(2, cameras, 24, 9, 13), (2, cameras, 112, 2, 3)]
    features = [f.double() for f in features]
    model.double()
    calibration = naive.Calibration(inputs['intrinsics'].double(), inputs['cam_from_ego'].double(), (36, 52))
    w = weights_of(model)
    if neck == 'cvt':
        bev = naive.cvt_neck(w / 'neck', features, calibration, TALL, 2)
    else:
        bev = naive.latent_neck(w / 'neck', features, calibration, TALL, 2, 2, True, neck == 'v1')
    expected = naive.to_logits(w / 'head' / 'to_logits', naive.bev_decoder(w / 'bev_decoder', bev, 3))
    assert expected.shape == (2, 2, 24, 16)
    in_float64 = model.head(model.bev_decoder(model.neck(features, rig_of(calibration, torch.float64))))
    # float32 calibrations are rigid to 1e-7 only, and the naive inverse relies on it.
    assert error(in_float64, expected) < 1e-5
    assert error(in_float32, expected) < 1e-4  # rounding of some fifty layers


@torch.no_grad()
def test_a_wider_rig_may_come_to_the_same_model():
    """The number of cameras is no part of the weights."""
    model = random_weights(segmentor_of('v2'))
    for cameras in (1, 4, 7):
        assert model.bev_logits(**inputs_of(cameras)).shape == (2, 2, 24, 16)


def test_modes():
    model, inputs = random_weights(segmentor_of('v2')), inputs_of(3)
    logits = model(inputs)
    assert torch.equal(logits, model.bev_logits(**inputs))
    losses = model(inputs, samples_of(), mode='loss')
    assert losses.keys() == {'loss_vehicle_focal', 'loss_center'}
    assert losses['loss_vehicle_focal'].item() == pytest.approx(
        naive.mean_loss(logits[:, 0], torch.stack([s.gt_bev.classes[4] for s in samples_of()])), rel=1e-5
    )
    predicted = model(inputs, samples_of(), mode='predict')
    assert error(predicted[1].pred_bev.scores[0], logits[1, 0].sigmoid()) < 1e-6
    assert error(predicted[1].pred_bev.center, logits[1, 1].sigmoid()) < 1e-6
    with pytest.raises(ValueError, match=r"mode.*'loss', 'predict' or 'tensor'.*'train'"):
        model(inputs, mode='train')


@pytest.mark.parametrize('neck', NECKS)
def test_every_parameter_gets_a_gradient(neck):
    model = segmentor_of(neck).train()
    sum(model(inputs_of(3), samples_of(), mode='loss').values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


# --- initialisation -------------------------------------------------------------------------------------------------


def outside_backbone(model: nn.Module) -> dict[str, nn.Module]:
    return {name: m for name, m in model.named_modules() if not name.startswith('backbone')}


@pytest.mark.parametrize('config', ['cvt', 'cvt_io_v1_1', 'cvt_io_v2_3'])
def test_layers_outside_the_backbone_and_their_initialisation(config):
    """PyTorch's own: weights and biases of linear layers and convolutions uniform in ±1 / sqrt(inputs of an output)."""
    torch.manual_seed(0)
    settings = Config.fromfile(CONFIGS / f'{config}.py').model
    settings.backbone.init_cfg = None
    model = MODELS.build(settings)
    constructed = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.init_weights()
    kept = {name: torch.equal(tensor, constructed[name]) for name, tensor in model.state_dict().items()}
    assert [name for name, same in kept.items() if not same and not name.startswith('backbone.')] == []
    assert not kept['backbone.layers.0.conv.weight']  # init_weights did reach the backbone

    seen = set()
    for name, module in outside_backbone(model).items():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            bound = module.weight[0].numel() ** -0.5
            for tensor in (module.weight, module.bias):
                if tensor is not None:
                    assert tensor.abs().max() <= bound * 1.0001, name
                if tensor is not None and tensor.numel() > 1000:
                    # The deviation of this uniform distribution; a normal one of the same would not pass the above.
                    assert tensor.std().item() == pytest.approx(bound / 3**0.5, rel=0.08), name
                    assert tensor.abs().max() > 0.97 * bound, name
                    seen.add(type(module))
        elif isinstance(module, (nn.LayerNorm, nn.BatchNorm2d)):
            assert (module.weight == 1).all() and (module.bias == 0).all(), name
    assert seen == {nn.Linear, nn.Conv2d}

    modules = outside_backbone(model).values()
    batch_norms = [m for m in modules if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert {(type(m), m.eps, m.momentum, m.affine) for m in batch_norms} == {(nn.BatchNorm2d, 1e-5, 0.1, True)}
    assert {m.eps for m in modules if isinstance(m, nn.LayerNorm)} == {1e-5}
    assert {m.approximate for m in modules if isinstance(m, nn.GELU)} == {'none'}


def test_the_pretrained_backbone_is_loaded_by_the_whole_model_s_init_weights(tmp_path):
    donor = random_weights(segmentor_of('v2').backbone, seed=6)
    torch.save({f'backbone.{name}': t for name, t in donor.state_dict().items()}, tmp_path / 'b0.pth')
    model = segmentor_of('v2')
    model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'b0.pth'), prefix='backbone.')
    model.init_weights()
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, donor.state_dict()[name]), name
