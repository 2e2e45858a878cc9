"""Tiny models and their graphs."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config

from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config
from tests.tiny import REPO, TINY_OPTIONS, TOY_CONFIG

CVT_TOY = REPO / 'configs/toy/cvt_toy.py'
V3_TOY = REPO / 'configs/toy/cvt_io_v3_toy.py'
#: Exporting takes its time for each operator.
LATENT_OPTIONS = TINY_OPTIONS | {'model.neck.depth': 1, 'model.neck.bottlenecks': (1, 1)}
#: Of the baseline, which has no process passes.
CVT_OPTIONS = {key: value for key, value in LATENT_OPTIONS.items() if key != 'model.neck.depth'}


def tiny_latent_config(**options) -> Config:
    return load_config(str(TOY_CONFIG), LATENT_OPTIONS | options)


def tiny_cvt_config() -> Config:
    return load_config(str(CVT_TOY), CVT_OPTIONS)


def tiny_v3_config() -> Config:
    return load_config(str(V3_TOY), {'model.neck.latents.depth': 1})


def tiny_checkpoint(cfg: Config, path: Path, seed: int = 0) -> str:
    """Random weights with BatchNorm statistics that folding them must not lose.

    He's initialisation keeps the signal alive: with PyTorch's, other images would change the logits by 1e-5.
    """
    torch.manual_seed(seed)
    model = build_model(cfg)
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    torch.save(model.state_dict(), path)
    return str(path)
