"""Steps to benchmark: a forward pass or a training step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from ..models import CVTIOSegmentor
from ..runtime.config import build_model


def prepare_model(cfg: Config, checkpoint: str | None, device: torch.device) -> CVTIOSegmentor:
    """Builds the model of a config on a device, with random weights unless a checkpoint is given."""
    return build_model(cfg, checkpoint).to(device)


def inference_step(
    model: CVTIOSegmentor, batches: Sequence[dict], device: torch.device, amp: bool = False, fuse: bool = False
) -> Callable[[], torch.Tensor]:
    """Returns a function that runs one forward pass, from normalised images to logits, cycling through the batches.

    Args:
        model: model on the device; modified in place by ``fuse``.
        batches: batches of the data loader.
        device: device of the model.
        amp: whether to use automatic mixed precision, float16 on a GPU and bfloat16 on a CPU.
        fuse: whether to fold BatchNorms into the preceding convolutions.
    """
    model.eval()
    if fuse:
        model = fuse_conv_bn(model)
    inputs = itertools.cycle([model.data_preprocessor(batch)['inputs'] for batch in batches])

    @torch.inference_mode()
    def step() -> torch.Tensor:
        with torch.autocast(device.type, enabled=amp):
            return model.bev_logits(**next(inputs))

    return step


def training_step(model: CVTIOSegmentor, cfg: Config, batch: dict, amp: bool = False) -> Callable[[], dict]:
    """Returns a function that runs one optimizer step: preprocessing, forward, losses, backward, clipping, update.

    Args:
        model: model on its device.
        cfg: config of the model, which defines the optimizer.
        batch: batch of the data loader.
        amp: whether to use automatic mixed precision; requires a GPU.
    """
    model.train()
    wrapper = dict(cfg.optim_wrapper, type='AmpOptimWrapper' if amp else cfg.optim_wrapper.type)
    optim_wrapper = build_optim_wrapper(model, wrapper)
    return lambda: model.train_step(batch, optim_wrapper)
