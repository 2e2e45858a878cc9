"""One-cycle learning rates around the optimizer's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet3d.registry import PARAM_SCHEDULERS
from mmengine.logging import print_log
from mmengine.optim import OneCycleLR
from mmengine.optim.scheduler.param_scheduler import OptimizerType

from ..errors import DataError


@PARAM_SCHEDULERS.register_module()
class CVTIOOneCycleLR(OneCycleLR):
    """mmengine's ``OneCycleLR``, by default with each parameter group's peak at its own ``lr``.

    A config thus gives the learning rate in one place, where ``--auto-scale-lr`` and the ``lr_mult`` of
    ``optim_wrapper.paramwise_cfg`` scale it.

    A resumed run takes the number of steps from its checkpoint and everything else from its config. If the config has
    another length or another rate, it continues on the curve of a run that had them from the start.

    Args:
        optimizer: the optimizer or its wrapper.
        eta_max: peak of all groups or of each; ``None`` takes the groups' own rates.
        **kwargs: of ``OneCycleLR``.
    """

    def __init__(self, optimizer: OptimizerType, eta_max: float | Sequence[float] | None = None, **kwargs: Any) -> None:
        if eta_max is None:
            eta_max = [group['lr'] for group in optimizer.param_groups]
        self.scale = 1.0  # of the rates, lowered when a run is rolled back
        super().__init__(optimizer, eta_max=eta_max, **kwargs)

    def load_state_dict(self, state_dict: dict) -> None:
        """Continues after the steps of a checkpoint, whose optimizer has been loaded.

        Raises:
            DataError: the checkpoint has more steps than the schedule.
        """
        done, length = state_dict['_global_step'], state_dict['total_steps']
        if done >= self.total_steps:
            raise DataError(
                f'max_iters: the run to be resumed has {done} of its {length - 1} steps behind it, more than the '
                f'{self.total_steps - 1} of this config'
            )
        if length != self.total_steps:
            print_log(
                f'The learning rate follows a run of {self.total_steps - 1} steps from here on; until now it followed '
                f'one of {length - 1}.',
                logger='current',
            )
        self.scale = state_dict.get('scale', 1.0)
        self._global_step = done
        self.last_step = min(done, self.end - 1) - self.begin  # a run that is over stood still at its end
        peaks = self._format_param('max_lr', self.optimizer, self.eta_max)
        for group, peak in zip(self.optimizer.param_groups, peaks, strict=True):
            group['max_lr'] = peak * self.scale
            group['initial_lr'] = group['max_lr'] / self.div_factor
            group['min_lr'] = group['initial_lr'] / self.final_div_factor
        for group, value in zip(self.optimizer.param_groups, self._get_value(), strict=True):
            group['lr'] = value
        self._last_value = [group['lr'] for group in self.optimizer.param_groups]
