import math

import numpy as np
import pytest
import torch
from mmengine.dist import all_reduce, get_rank

from projects.CVT_IO.cvt_io.models import CVTIOFocalLoss
from projects.CVT_IO.cvt_io.models.losses import sigmoid_focal_loss
from tests.models import naive
from tests.models.cases import random_grid, random_share
from tests.team import run_team


@pytest.mark.parametrize('gamma', [0.0, 1.0, 2.0, 2.5])
def test_pixels_equal_the_naive_ones(gamma):
    logits, targets = 4 * random_grid(60, seed=1), random_share(60, seed=2)
    targets[:20] = (targets[:20] > 0.5).double()
    expected = [naive.focal(*pixel, gamma) for pixel in zip(logits.tolist(), targets.tolist(), strict=True)]
    assert sigmoid_focal_loss(logits, targets, gamma).tolist() == pytest.approx(expected, rel=1e-10)


def test_pixels_by_hand():
    """Logit 0: p = ½, BCE = ln 2, (1 − p_t)² = ¼, whatever the target. Logit ln 3: p = ¾."""
    assert sigmoid_focal_loss(torch.zeros(3), torch.tensor([0, 0.3, 1]), 2).tolist() == pytest.approx(
        [math.log(2) / 4] * 3
    )
    logit = torch.tensor([math.log(3)] * 3)
    expected = [
        math.log(4) * (3 / 4) ** 2,  # target 0: BCE = −ln ¼, p_t = ¼
        (math.log(4) + math.log(4 / 3)) / 2 * (1 / 2) ** 2,  # target ½: p_t = ½·¾ + ½·¼ = ½
        math.log(4 / 3) * (1 / 4) ** 2,  # target 1: BCE = −ln ¾, p_t = ¾
    ]
    assert sigmoid_focal_loss(logit, torch.tensor([0, 0.5, 1]), 2).tolist() == pytest.approx(expected)


@pytest.mark.parametrize('gamma, weight', [(2.0, 1.0), (2.0, 0.1), (0.0, 0.1)])
def test_mean_over_the_kept_pixels_of_the_whole_batch(gamma, weight):
    logits, targets = 3 * random_grid(2, 4, 5, seed=1).float(), random_share(2, 4, 5, seed=2)
    keep = random_share(2, 4, 5, seed=3) < torch.tensor([0.9, 0.2]).view(2, 1, 1)  # samples of unequal share
    loss = CVTIOFocalLoss(gamma, weight)
    for mask in (keep, None):
        expected = naive.mean_loss(logits, targets, mask, gamma, weight)
        assert loss(logits, targets, mask).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('share', [0.0, 0.5])
def test_left_out_pixels_get_no_gradient(share):
    """With none left the loss is zero."""
    logits, keep = random_grid(2, 3, 4).float().requires_grad_(), random_share(2, 3, 4, seed=1) < share
    loss = CVTIOFocalLoss()(logits, torch.ones(2, 3, 4), keep)
    loss.backward()
    assert torch.equal(logits.grad != 0, keep) and (loss == 0) == (share == 0)


@pytest.mark.parametrize('logit', [-1e4, -90.0, 90.0, 1e4])
@pytest.mark.parametrize('target', [0.0, 0.5, 1.0])
def test_extreme_logits_stay_finite(logit, target):
    logits = torch.tensor([logit], requires_grad=True)
    loss = CVTIOFocalLoss()(logits, torch.tensor([target]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    right = (logit > 0) == (target > 0.5)
    # A soft target of ½ has p_t = ½: BCE ≈ |logit| / 2, a quarter of it remains.
    expected = abs(logit) / 8 if target == 0.5 else 0 if right else abs(logit)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_gradient():
    logits = random_grid(3, 4).requires_grad_()
    targets = random_share(3, 4, seed=1)
    assert torch.autograd.gradcheck(lambda x: sigmoid_focal_loss(x, targets, 2.0), logits)


def test_half_precision_logits_are_computed_in_float32():
    logits = random_grid(50).half()
    targets = random_share(50, seed=1)
    loss = CVTIOFocalLoss()(logits, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(naive.mean_loss(logits, targets), rel=1e-5)


def kept(shares: tuple[float, ...]) -> torch.Tensor:
    """A mask that keeps such a share of each sample's pixels."""
    return random_share(len(shares), 5, 6, seed=3) < torch.tensor(shares).view(-1, 1, 1)


def own_loss(bounds: list[int], shares: tuple[float, ...]) -> tuple[float, np.ndarray]:
    """Loss, and gradient averaged over the processes, of a process that has the samples between two bounds."""
    logits = random_grid(len(shares), 5, 6, seed=1).float().requires_grad_()
    mine = slice(*bounds[get_rank() : get_rank() + 2])
    loss = CVTIOFocalLoss()(logits[mine], random_share(len(shares), 5, 6, seed=2)[mine], kept(shares)[mine])
    loss.backward()
    gradient = logits.grad
    all_reduce(gradient, op='mean')  # as DistributedDataParallel does
    return loss.item(), gradient.numpy()


@pytest.mark.parametrize(
    'bounds, shares',
    [
        ([0, 2, 4], (1, 0.9, 0.05, 0.1)),
        ([0, 1, 4], (0.2, 0.9, 0.5, 1)),  # batches of different size
        ([0, 2, 4], (0, 0, 0.4, 0.5)),  # the first process keeps none
        ([0, 1, 2, 4], (0.3, 0, 1, 0.6)),
        ([0, 2, 4], (0, 0, 0, 0)),
    ],
)
def test_mean_over_the_kept_pixels_of_all_processes(bounds, shares):
    logits, targets = random_grid(len(shares), 5, 6, seed=1).float().requires_grad_(), random_share(4, 5, 6, seed=2)
    expected = naive.mean_loss(logits, targets, kept(shares)) if any(shares) else 0.0
    CVTIOFocalLoss()(logits, targets, kept(shares)).backward()
    for loss, gradient in run_team(len(bounds) - 1, own_loss, bounds, shares):
        assert loss == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(gradient, logits.grad.numpy(), rtol=1e-5, atol=1e-9)


def test_one_process_has_the_plain_mean_to_the_last_bit():
    for seed in range(20):
        logits, targets = random_grid(3, 7, 5, seed=seed).float(), random_share(3, 7, 5, seed=seed + 1).float()
        keep = random_share(3, 7, 5, seed=seed + 2) < 0.7
        pixels = sigmoid_focal_loss(logits[keep], targets[keep], 2.0)
        assert torch.equal(CVTIOFocalLoss(2.0, 0.1)(logits, targets, keep), 0.1 * pixels.sum() / keep.sum())
