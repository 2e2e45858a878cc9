"""mmengine's Runner on a resolved config."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from .model_checks import check_channels
from .resolve import resolve_config


@RUNNERS.register_module()  # mmengine's registry, in which every tool of OpenMMLab looks a runner_type up
class CVTIORunner(Runner):
    """Resolves its config, as :func:`resolve_config` describes, and checks the model before anything starts.

    A config's ``runner_type`` names it, so that mmdet3d's own tools use it too.
    """

    @classmethod
    def from_cfg(cls, cfg: Config | dict) -> CVTIORunner:
        """Builds a runner.

        Raises:
            ConfigError: the config contradicts itself.
        """
        cfg = copy.deepcopy(cfg)
        return super().from_cfg(resolve_config(cfg if isinstance(cfg, Config) else Config(cfg)))

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Builds the model, and checks that neck and backbone fit together."""
        built: Any = super().build_model(model)
        if isinstance(model, dict):
            check_channels(built, model)
        return built


def build_runner(cfg: Config) -> Runner:
    """The runner that a config names, by default a :class:`CVTIORunner`."""
    return RUNNERS.build(cfg) if cfg.get('runner_type') else CVTIORunner.from_cfg(cfg)
