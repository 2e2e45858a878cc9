"""Watches, each of one number of a run, with a state of a few numbers.

Rows may have any spacing: one per step during training, one per 500 steps from a log. Times are in steps. A watch is
*open* while the trouble lasts, and *suspicious* from its first sign on.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

#: Rows over which their scatter is estimated.
SCATTER_ROWS = 20
#: A value is well above the scatter of its rows if it is this many standard deviations above zero.
SCATTERS = 3
#: From the mean absolute difference of two independent normal values to their standard deviation.
DIFFERENCE_TO_SIGMA = math.sqrt(math.pi) / 2


class Watch(ABC):
    """Base class; attributes that are not arguments are the state, all of them plain numbers."""

    def __init__(self) -> None:
        self.open = False

    @property
    def suspicious(self) -> bool:
        """Whether there is a sign of trouble, enough for an alarm or not."""
        return self.open

    @abstractmethod
    def update(self, step: int, value: float) -> str | None:
        """Takes the next row. Returns: what is wrong, if the watch opens with this row."""

    def restart(self, step: int) -> None:
        """The run continues from ``step`` with earlier weights: signs of trouble are forgotten, levels are kept."""
        self.open = False

    def state_dict(self) -> dict[str, Any]:
        """The state as plain numbers."""
        return {name: value for name, value in vars(self).items() if name not in self._settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores a state."""
        vars(self).update({name: state[name] for name in self.state_dict()})

    def _settings(self) -> tuple[str, ...]:
        """Attributes that come from the arguments."""
        return ()

    def _switch(self, wrong: bool, message: str) -> str | None:
        """Opens or closes; returns the message only when it opens."""
        opens, self.open = wrong and not self.open, wrong
        return message if opens else None


class FiniteWatch(Watch):
    """NaN and infinity.

    Args:
        what: name of the number.
        patience: consecutive rows that raise an alarm.
    """

    def __init__(self, what: str, patience: int = 1) -> None:
        super().__init__()
        self.what, self.patience = what, patience
        self.bad_rows = 0

    def update(self, step: int, value: float) -> str | None:
        """Args: step, and the value, any float."""
        self.bad_rows = 0 if math.isfinite(value) else self.bad_rows + 1
        return self._switch(self.bad_rows >= self.patience, f'{self.what} is {value}')

    def restart(self, step: int) -> None:
        """See the base class."""
        super().restart(step)
        self.bad_rows = 0

    def _settings(self) -> tuple[str, ...]:
        return 'what', 'patience'


class FallWatch(Watch):
    """A fall to next to nothing after a rise. Values are in [0, 1].

    Args:
        what: name of the number.
        risen: running value above which a fall counts, if it is also well above the scatter of the rows.
        share: of the highest value, below which the value has fallen.
    """

    def __init__(self, what: str, risen: float, share: float) -> None:
        super().__init__()
        self.what, self.risen, self.share = what, risen, share
        self.running = self.scatter = self.last = self.highest = 0.0
        self.falls = 0

    def update(self, step: int, value: float) -> str | None:
        """Args: step and value; NaN counts as zero."""
        value = value if math.isfinite(value) else 0.0
        risen = self.running >= max(self.risen, SCATTERS * self.scatter)
        fallen = value < self.share * self.highest * (2 if self.open else 1)
        if not (risen and fallen):
            self._follow(value)
        return self._switch(risen and fallen, f'{self.what} fell to {value:.4f} after having been {self.highest:.4f}')

    def _follow(self, value: float) -> None:
        if value < self.last:  # rises are expected
            self.falls += 1
            difference = (self.last - value) * DIFFERENCE_TO_SIGMA
            self.scatter += (difference - self.scatter) / min(self.falls, SCATTER_ROWS)
        self.running += (value - self.running) / 2
        self.highest, self.last = max(self.highest, value), value

    def _settings(self) -> tuple[str, ...]:
        return 'what', 'risen', 'share'


class LearnWatch(Watch):
    """A score that never leaves zero, or not for long. Values are in [0, 1].

    Args:
        what: name of the number.
        learnt: running value above which something has been learnt.
        risen: highest running value above which a fall is left to another watch.
        late: steps by which something has to be learnt.
        least_rows: rows before it can be late.
    """

    def __init__(self, what: str, learnt: float, risen: float, late: float, least_rows: int) -> None:
        super().__init__()
        self.what, self.learnt, self.risen, self.late, self.least_rows = what, learnt, risen, late, least_rows
        self.origin = 0
        self.rows = 0
        self.running = self.highest = 0.0

    @property
    def suspicious(self) -> bool:
        """Never: a class may be rare, or absent from the validation set, and the weights are as good as before."""
        return False

    def update(self, step: int, value: float) -> str | None:
        """Args: step and value; NaN counts as zero."""
        self.rows += 1
        self.running += ((value if math.isfinite(value) else 0.0) - self.running) / 2
        self.highest = max(self.highest, self.running)
        late = step - self.origin >= self.late and self.rows >= self.least_rows
        wrong = late and self.running < self.learnt and self.highest < self.risen
        return self._switch(wrong, f'{self.what} is {value:.4f} after {step - self.origin} steps of training')

    def restart(self, step: int) -> None:
        """See the base class; the time to learn starts again."""
        super().restart(step)
        self.origin, self.rows = step, 0

    def _settings(self) -> tuple[str, ...]:
        return 'what', 'learnt', 'risen', 'late', 'least_rows'
