"""One-cycle learning rate around the optimizer's own rate."""

from __future__ import annotations

from typing import Any

from mmdet3d.registry import PARAM_SCHEDULERS
from mmengine.optim import OneCycleLR
from mmengine.optim.scheduler.param_scheduler import OptimizerType


@PARAM_SCHEDULERS.register_module()
class CVTIOOneCycleLR(OneCycleLR):
    """mmengine's ``OneCycleLR`` with its peak at the optimizer's ``lr`` unless ``eta_max`` is given.

    So the rate stands in one place of a config, and ``--auto-scale-lr`` scales it.

    Args:
        optimizer: the optimizer or its wrapper.
        eta_max: peak; ``None`` takes the rate of the first parameter group.
        **kwargs: of ``OneCycleLR``.
    """

    def __init__(self, optimizer: OptimizerType, eta_max: float | None = None, **kwargs: Any) -> None:
        super().__init__(optimizer, eta_max=optimizer.param_groups[0]['lr'] if eta_max is None else eta_max, **kwargs)
