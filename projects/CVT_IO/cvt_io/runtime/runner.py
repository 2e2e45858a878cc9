"""mmengine's Runner on a resolved config."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from ..errors import ConfigError
from .model_checks import check_channels
from .resolve import resolve_config
from .schedule_length import length_of
from .training_checks import check_training

#: Hooks that mmengine adds by itself unless they are None; other names may not be None.
_OWN_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')


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

    def train(self) -> nn.Module:
        """Trains, unless :func:`check_training` finds something wrong with the config."""
        check_training(self.cfg)
        return super().train()

    def register_default_hooks(self, hooks: dict[str, Hook | dict | None] | None = None) -> None:
        """Registers the hooks of a config; ``default_hooks.<name>=None`` switches any of them off."""
        chosen = {name: hook for name, hook in (hooks or {}).items() if hook is not None or name in _OWN_HOOKS}
        super().register_default_hooks(chosen)

    def build_optim_wrapper(self, optim_wrapper: Any) -> OptimWrapper | OptimWrapperDict:
        """Builds the optimizer's wrapper; mixed precision without a GPU is bfloat16 on the CPU."""
        if isinstance(optim_wrapper, dict) and optim_wrapper.get('type') == 'AmpOptimWrapper' and get_device() == 'cpu':
            of_gpus = ('loss_scale', 'dtype', 'use_fsdp')
            optim_wrapper = {key: value for key, value in optim_wrapper.items() if key not in of_gpus}
            optim_wrapper['type'] = 'CVTIOCPUAmpOptimWrapper'
            self.logger.info('Mixed precision without a GPU: bfloat16 on the CPU, without loss scaling.')
        return super().build_optim_wrapper(optim_wrapper)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Resumes, if the schedules can continue in this config's run.

        Raises:
            ConfigError: a schedule other than :class:`CVTIOOneCycleLR` had another length.
        """
        before = [length_of(scheduler) for scheduler in self._schedulers()]
        super().resume(filename, *args, **kwargs)
        for scheduler, length in zip(self._schedulers(), before, strict=False):
            if length_of(scheduler) != length:
                raise ConfigError(
                    f'param_scheduler: {filename} is of a run whose {type(scheduler).__name__} has '
                    f'{length_of(scheduler)}, this config says {length}; such a schedule cannot change its length '
                    f'within a run, a CVTIOOneCycleLR can'
                )

    def _schedulers(self) -> list[Any]:
        schedulers = self.param_schedulers or []
        groups = schedulers.values() if isinstance(schedulers, dict) else [schedulers]
        return [scheduler for group in groups if isinstance(group, list) for scheduler in group]


def build_runner(cfg: Config) -> Runner:
    """The runner that a config names, by default a :class:`CVTIORunner`."""
    return RUNNERS.build(cfg) if cfg.get('runner_type') else CVTIORunner.from_cfg(cfg)
