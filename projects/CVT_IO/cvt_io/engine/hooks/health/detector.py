"""Says when a run goes wrong, from its numbers alone: no model, no tensors, a state of a few numbers.

The rules, each with what it is for; :class:`Thresholds` has the figures.

| rule               | opens when                                                                                   |
|--------------------|----------------------------------------------------------------------------------------------|
| ``not finite``     | loss, gradient norm or parameters are NaN or infinite                                        |
| ``loss jump``      | the training loss rises above its running level and stays, for 0.8 % of the run              |
| ``gradients``      | the gradient norm before clipping is far above its running level, for 1.2 % of the run       |
| ``parameters``     | the norm of all parameters is three times its running level                                  |
| ``IoU fell``       | the validation IoU falls to less than a tenth of what it had been                            |
| ``never learning`` | the validation IoU is still at zero after 13 % of the run (short runs: up to half of it)     |
| ``attention``      | the attention's entropy falls to less than a tenth of what it had been, and stays            |

The figures were set on the logs of ten original runs (see :mod:`..analysis.notes`), of which two collapsed and one
never learnt; the tests scale each of them both ways and see the same verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any

from .jump_watch import JumpWatch
from .watches import (
    FallWatch,
    FiniteWatch,
    LearnWatch,
    Watch,
)

_VERSION = 1


class Rule(str, Enum):
    """What can go wrong; the module's docstring has the rules."""

    NOT_FINITE = 'not finite'
    LOSS_JUMP = 'loss jump'
    GRADIENTS = 'gradients'
    PARAMETERS = 'parameters'
    IOU_FELL = 'IoU fell'
    NEVER_LEARNING = 'never learning'
    ATTENTION = 'attention'

    __str__ = str.__str__  # the value, as in Python 3.11's StrEnum


@dataclass(frozen=True)
class Alarm:
    """What opened at which step.

    Attributes:
        rule: that opened.
        step: of the row with which it did.
        message: what was seen, with figures.
    """

    rule: Rule
    step: int
    message: str


@dataclass(frozen=True)
class Thresholds:
    """The figures of the rules. Ratios are logarithms, so that scaling them makes sense below and above 1.

    Attributes:
        loss_jump: the loss over its level; e^0.5 is 1.65. The collapses of the original runs were 2.5 and 2.8.
        grad_jump: the gradient norm over its level; e^2.1 is 8.
        param_jump: the parameters' norm over its level; e^1.1 is 3. In a toy training it moved by a hundredth.
        noise: standard deviations of a block of losses or gradient norms. The original runs' blocks scatter by 0.12.
        risen: running IoU from which on a fall is one.
        fallen: share of the highest running IoU.
        learnt: running IoU.
        late: share of the run by which it is learnt. The slowest original run had an IoU of 0.02 at 0.08 of it.
        late_steps: in short runs no sooner than this, as long as it is less than half of the run.
        concentrated: share of the highest attention entropy.
        patience: gradient norms in a sequence that are not finite: 1, or more where a loss scale is searched for.
    """

    loss_jump: float = 0.5
    grad_jump: float = 2.1
    param_jump: float = 1.1
    noise: float = 4.0
    risen: float = 0.05
    fallen: float = 0.1
    learnt: float = 0.015
    late: float = 0.13
    late_steps: int = 3000
    concentrated: float = 0.1
    patience: int = 1

    def scaled(self, factor: float, *names: str) -> Thresholds:
        """With some of the figures, or all but the whole numbers, multiplied."""
        chosen = names or [field.name for field in fields(self) if isinstance(field.default, float)]
        return replace(self, **{name: getattr(self, name) * factor for name in chosen})


class HealthDetector:
    """Takes the rows of a run in the order of their steps and says when something goes wrong.

    The same run gives the same alarms from one row a step as from means over hundreds of steps, up to the time a block
    takes. The state goes into a checkpoint (:meth:`state_dict`), so that a resumed run is judged as an uninterrupted
    one.

    >>> detector = HealthDetector(max_iters=100_000)
    >>> for step, iou in [(1406, 0.0), (2813, 0.12), (4220, 0.15), (5627, 0.0)]:
    ...     alarms = detector.update(step, iou=iou)
    >>> alarms[0].rule, alarms[0].step
    (<Rule.IOU_FELL: 'IoU fell'>, 5627)

    Args:
        max_iters: steps of the whole run, which the rules' times are shares of.
        thresholds: figures of the rules.
    """

    def __init__(self, max_iters: int, thresholds: Thresholds | None = None) -> None:
        if max_iters < 1:
            raise ValueError(f'max_iters: expected a whole number from 1 on, got {max_iters}')
        limits = thresholds or Thresholds()
        block, horizon = max(0.004 * max_iters, 10), max(0.05 * max_iters, 50)
        late = max(limits.late * max_iters, min(limits.late_steps, 0.5 * max_iters), 100)
        loss = JumpWatch('the loss', block, horizon, limits.loss_jump, limits.noise, confirm=2)
        grad = JumpWatch('the gradient norm', block, horizon, limits.grad_jump, limits.noise, confirm=3)
        norm = JumpWatch("the parameters' norm", 1, max(horizon, 500), limits.param_jump, 0.0, confirm=1, armed_after=1)
        entropy = FallWatch("the attention's entropy", limits.risen, limits.concentrated, confirm=3)
        self._watches: dict[str, list[tuple[Rule, Watch]]] = {
            'loss': [(Rule.NOT_FINITE, FiniteWatch('the loss')), (Rule.LOSS_JUMP, loss)],
            'grad_norm': [
                (Rule.NOT_FINITE, FiniteWatch('the gradient norm', limits.patience)),
                (Rule.GRADIENTS, grad),
            ],
            'param_norm': [(Rule.NOT_FINITE, FiniteWatch("the parameters' norm")), (Rule.PARAMETERS, norm)],
            'iou': [
                (Rule.IOU_FELL, FallWatch('the IoU', limits.risen, limits.fallen)),
                (Rule.NEVER_LEARNING, LearnWatch('the IoU', limits.learnt, limits.risen, late, least_rows=3)),
            ],
            'entropy': [(Rule.ATTENTION, entropy)],
        }
        #: Steps without any sign of trouble after which the weights before them may be called healthy.
        self.settled_after = math.ceil(3 * block)

    def update(
        self,
        step: int,
        *,
        loss: float | None = None,
        grad_norm: float | None = None,
        param_norm: float | None = None,
        iou: float | None = None,
        entropy: float | None = None,
    ) -> list[Alarm]:
        """Takes a row; ``None`` is what it does not have.

        Args:
            step: not smaller than the last one's.
            loss: training loss at this step, or its mean since the last row.
            grad_norm: norm of all gradients before clipping, as ``loss``.
            param_norm: norm of all parameters and running statistics.
            iou: of a validation, in [0, 1].
            entropy: of the attention, as a share of the largest possible one.

        Returns:
            What begins to be wrong with this row; mostly nothing.
        """
        row = dict(loss=loss, grad_norm=grad_norm, param_norm=param_norm, iou=iou, entropy=entropy)
        alarms = []
        for name, value in row.items():
            if value is None:
                continue
            for rule, watch in self._watches[name]:
                message = watch.see(step, value)
                if message is not None:
                    alarms.append(Alarm(rule, step, message))
        return alarms

    @property
    def open(self) -> set[Rule]:
        """The rules by which something is wrong now."""
        return {rule for _, rule, watch in self._all() if watch.open}

    @property
    def suspicious(self) -> bool:
        """Whether something is wrong or shows a first sign of it."""
        return any(watch.suspicious for _, _, watch in self._all())

    def restart(self, step: int) -> None:
        """The run goes on from ``step`` with the weights of an earlier one, whose state was loaded."""
        for _, _, watch in self._all():
            watch.restart(step)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers by name."""
        return {'version': _VERSION} | {name: watch.state_dict() for name, _, watch in self._all()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state."""
        if state.get('version') != _VERSION:
            raise ValueError(f'state of the health detector: expected version {_VERSION}, found {state.get("version")}')
        for name, _, watch in self._all():
            watch.load_state_dict(state[name])

    def _all(self) -> Iterator[tuple[str, Rule, Watch]]:
        for name, watches in self._watches.items():
            for rule, watch in watches:
                yield f'{name} {rule}', rule, watch
