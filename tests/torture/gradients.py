"""One optimizer step by several processes against the same step by one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import nn

from projects.CVT_IO.cvt_io.runtime.batches import random_batch
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config
from tests.team import run_team
from tests.tiny import TINY_OPTIONS, TOY_CONFIG

TOLERANCE = 1e-5
HIDDEN = 1  # a visibility at which a vehicle is left out of the loss


@dataclass(frozen=True)
class Step:
    """Gradients of all parameters in one row, and the logged loss, the mean of the micro-batches."""

    gradients: np.ndarray
    loss: float


def one_step(seed: int, hidden: Sequence[Sequence[float]]) -> Step:
    """Gradients of the tiny model, with BatchNorm frozen and without drop-connect, on this process's share.

    Args:
        seed: of weights and data.
        hidden: for each micro-batch, which the step accumulates, and each of its frames (of all processes) the share of
            pixels that the loss leaves out.
    """
    warnings.filterwarnings('ignore', 'Grad strides do not match bucket view strides')  # costs a copy, no more
    torch.manual_seed(seed)
    cfg = load_config(str(TOY_CONFIG), TINY_OPTIONS | {'model.backbone.drop_connect_rate': 0.0})
    model = build_model(cfg).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    wrapped = MMDistributedDataParallel(model) if get_world_size() > 1 else model
    optim_wrapper = _Recorder(torch.optim.SGD(model.parameters(), lr=0.0), accumulative_counts=len(hidden))
    optim_wrapper.initialize_count_status(wrapped, 0, len(hidden))
    losses = []
    for i, shares in enumerate(hidden):
        batch = random_batch(cfg, len(shares), seed=1000 * seed + i)
        for sample, share in zip(batch['data_samples'], shares, strict=True):
            left_out = torch.rand(sample.gt_bev.visibility.shape) < share
            sample.gt_bev.visibility = torch.where(left_out, HIDDEN, 255).to(torch.uint8)
        losses.append(wrapped.train_step(_own(batch), optim_wrapper)['loss'].item())
    return Step(optim_wrapper.gradients, float(np.mean(losses)))


def same_step(steps: Sequence[Step], expected: Step) -> bool:
    """Whether each process has the expected gradients and loss, within the tolerance of the largest gradient."""
    scale = max(np.abs(expected.gradients).max(), np.finfo(np.float32).tiny)
    return all(
        np.abs(step.gradients - expected.gradients).max() <= TOLERANCE * min(scale, 1)
        and abs(step.loss - expected.loss) <= TOLERANCE * abs(expected.loss)
        for step in steps
    )


def compare(processes: int, seed: int, hidden: Sequence[Sequence[float]]) -> bool:
    """Whether so many processes make the step that one makes on all frames."""
    (alone,) = run_team(1, one_step, seed, hidden)
    return same_step(run_team(processes, one_step, seed, hidden), alone)


class _Recorder(OptimWrapper):
    """Keeps the gradients with which it is asked to step."""

    gradients: np.ndarray

    def step(self, **kwargs: object) -> None:
        parameters = [p for group in self.param_groups for p in group['params']]
        self.gradients = torch.cat([p.grad.flatten() for p in parameters]).numpy().copy()


def _own(batch: dict) -> dict:
    """The frames of a batch that fall to this process: one after the other in turn, as the samplers deal them out."""
    mine = slice(get_rank(), None, get_world_size())
    return dict(
        inputs={key: list(value[mine]) for key, value in batch['inputs'].items()},
        data_samples=batch['data_samples'][mine],
    )
