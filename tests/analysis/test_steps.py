"""What a benchmark times computes what it should."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from torch import nn

from projects.CVT_IO.cvt_io.analysis.steps import inference_step, prepare_model, training_step
from projects.CVT_IO.cvt_io.runtime.batches import image_size, random_batch
from projects.CVT_IO.cvt_io.runtime.config import ConfigError
from tests.models.cases import random_weights
from tests.tiny import REPO, TOY_CONFIG

CPU = torch.device('cpu')


@pytest.fixture
def cfg() -> Config:
    return Config.fromfile(TOY_CONFIG)


def test_random_batches_have_the_configs_shapes(cfg):
    batch = random_batch(cfg, batch_size=2, cameras=4)
    assert image_size(cfg) == (48, 112) and image_size(Config.fromfile(REPO / 'configs/cvt.py')) == (224, 480)
    assert batch['inputs']['imgs'].shape == (2, 4, 3, 48, 112)
    assert [sample.gt_bev.classes.shape for sample in batch['data_samples']] == [(12, 48, 48)] * 2
    assert torch.equal(random_batch(cfg, 2, 4)['inputs']['imgs'], batch['inputs']['imgs'])


def test_random_cameras_look_outwards(cfg):
    """Rigid, 1.5 m above the ego; camera i looks along yaw i·90°: a point 5 m that way is 5 m ahead of it."""
    poses = random_batch(cfg, 1, cameras=4)['inputs']['cam_from_ego'][0]
    for pose, direction in zip(poses, [(5, 0), (0, 5), (-5, 0), (0, -5)], strict=True):
        assert torch.allclose(pose[:3, :3] @ pose[:3, :3].T, torch.eye(3), atol=1e-6)
        assert torch.linalg.det(pose[:3, :3]).item() == pytest.approx(1)
        assert torch.allclose(pose @ torch.tensor([*direction, 1.5, 1.0]), torch.tensor([0, 0, 5, 1.0]), atol=1e-5)


def test_config_without_a_resize(cfg):
    cfg.test_dataloader.dataset.pipeline = []
    with pytest.raises(ConfigError, match='expected a CVTIOResizeCrop'):
        image_size(cfg)


def test_forward_is_the_models_and_batches_take_turns(cfg):
    model, batches = random_weights(prepare_model(cfg, None, CPU)), [random_batch(cfg, 1, seed=seed) for seed in (0, 1)]
    step = inference_step(model, batches, CPU)
    with torch.no_grad():
        expected = [model(**model.data_preprocessor(batch), mode='tensor') for batch in (*batches, batches[0])]
    assert not torch.equal(*expected[:2])
    assert all(torch.equal(step(), logits) for logits in expected)
    assert inference_step(model, batches, CPU, amp=True)().dtype == torch.bfloat16


def test_folded_norms_change_nothing(cfg):
    batch = random_batch(cfg, 1)
    model = random_weights(prepare_model(cfg, None, CPU))
    expected = inference_step(model, [batch], CPU)().clone()
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    actual = inference_step(model, [batch], CPU, fuse=True)()
    # What is left are the norms before a convolution: two of each scale's tokens.
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) == 4 < norms
    assert (actual - expected).abs().max() < 1e-4 * expected.abs().max()


def test_a_training_step_trains(cfg):
    model = prepare_model(cfg, None, CPU)
    before = {key: value.clone() for key, value in model.named_parameters()}
    losses = training_step(model, cfg, random_batch(cfg, 2))()
    assert losses['loss'].isfinite()
    still = {key for key, value in model.named_parameters() if torch.equal(value, before[key])}
    # What all keys have in common cannot change a softmax over them.
    assert all('.to_k.' in key and key.endswith('.bias') for key in still), still
