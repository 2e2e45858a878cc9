"""One number of a run each, watched row by row, in a state of a few numbers.

A watch takes rows of any spacing: one a step while training, one for every 500 steps from a log. Times are in steps.
It is *open* while what it looks for lasts, and *suspicious* from the first sign of it on.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

#: Rows over which their scatter is known.
SCATTER_ROWS = 20
#: A value is well above the scatter of its rows if it is this many standard deviations above zero.
SCATTERS = 3
#: From the mean absolute difference of two independent normal values to their standard deviation.
DIFFERENCE_TO_SIGMA = math.sqrt(math.pi) / 2


class Watch(ABC):
    """Base of the watches; attributes that are no arguments are the state, plain numbers all of them."""

    def __init__(self) -> None:
        self.open = False

    @property
    def suspicious(self) -> bool:
        """Whether there is a sign of trouble, be it enough for an alarm or not yet."""
        return self.open

    @abstractmethod
    def see(self, step: int, value: float) -> str | None:
        """Takes the next row. Returns: what is wrong, when the watch opens with this row."""

    def restart(self, step: int) -> None:
        """The run goes on from ``step`` with earlier weights: signs of trouble are forgotten, levels are not."""
        self.open = False

    def state_dict(self) -> dict[str, Any]:
        """The state as plain numbers."""
        return {name: value for name, value in vars(self).items() if name not in self._settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state."""
        vars(self).update({name: state[name] for name in self.state_dict()})

    def _settings(self) -> tuple[str, ...]:
        """Attributes that come from the arguments."""
        return ()

    def _switch(self, wrong: bool, message: str) -> str | None:
        """Opens or closes; the message only when it opens."""
        opens, self.open = wrong and not self.open, wrong
        return message if opens else None


class FiniteWatch(Watch):
    """NaN and infinity.

    Args:
        what: is watched, in words.
        patience: rows in a sequence that are one too many.
    """

    def __init__(self, what: str, patience: int = 1) -> None:
        super().__init__()
        self.what, self.patience = what, patience
        self.ill_rows = 0

    def see(self, step: int, value: float) -> str | None:
        """Args: step, and the value, any float."""
        self.ill_rows = 0 if math.isfinite(value) else self.ill_rows + 1
        return self._switch(self.ill_rows >= self.patience, f'{self.what} is {value}')

    def restart(self, step: int) -> None:
        """See the base class."""
        super().restart(step)
        self.ill_rows = 0

    def _settings(self) -> tuple[str, ...]:
        return 'what', 'patience'


class FallWatch(Watch):
    """A fall to next to nothing of what had risen. Values are in [0, 1].

    Args:
        what: is watched, in words.
        risen: running value from which on a fall is one, if it is also well above the rows' scatter.
        share: of the highest value, below which the fall ends.
        confirm: rows below it in a sequence.
    """

    def __init__(self, what: str, risen: float, share: float, confirm: int = 1) -> None:
        super().__init__()
        self.what, self.risen, self.share, self.confirm = what, risen, share, confirm
        self.running = self.scatter = self.last = self.highest = 0.0
        self.falls = self.below = 0

    @property
    def suspicious(self) -> bool:
        """See the base class."""
        return self.open or self.below > 0

    def see(self, step: int, value: float) -> str | None:
        """Args: step and value; NaN is next to nothing."""
        value = value if math.isfinite(value) else 0.0
        risen = self.running >= max(self.risen, SCATTERS * self.scatter)
        fallen = value < self.share * self.highest * (2 if self.open else 1)
        if risen and fallen:
            self.below += 1
        else:
            self.below = 0
            self._follow(value)
        message = f'{self.what} fell to {value:.4f} after having been {self.highest:.4f}'
        return self._switch(self.below >= self.confirm, message)

    def restart(self, step: int) -> None:
        """See the base class."""
        super().restart(step)
        self.below = 0

    def _follow(self, value: float) -> None:
        if value < self.last:  # rises are also what is hoped for
            self.falls += 1
            difference = (self.last - value) * DIFFERENCE_TO_SIGMA
            self.scatter += (difference - self.scatter) / min(self.falls, SCATTER_ROWS)
        self.running += (value - self.running) / 2
        self.highest, self.last = max(self.highest, value), value

    def _settings(self) -> tuple[str, ...]:
        return 'what', 'risen', 'share', 'confirm'


class LearnWatch(Watch):
    """A score that never leaves zero, or not for long. Values are in [0, 1].

    Args:
        what: is watched, in words.
        learnt: running value from which on something is learnt.
        risen: highest running value from which on a fall is another watch's.
        late: steps by which something has to be learnt.
        least_rows: rows before it is late.
    """

    def __init__(self, what: str, learnt: float, risen: float, late: float, least_rows: int) -> None:
        super().__init__()
        self.what, self.learnt, self.risen, self.late, self.least_rows = what, learnt, risen, late, least_rows
        self.origin = 0
        self.rows = 0
        self.running = self.highest = 0.0

    def see(self, step: int, value: float) -> str | None:
        """Args: step and value; NaN is nothing."""
        self.rows += 1
        self.running += ((value if math.isfinite(value) else 0.0) - self.running) / 2
        self.highest = max(self.highest, self.running)
        late = step - self.origin >= self.late and self.rows >= self.least_rows
        wrong = late and self.running < self.learnt and self.highest < self.risen
        return self._switch(wrong, f'{self.what} is {value:.4f} after {step - self.origin} steps of learning')

    def restart(self, step: int) -> None:
        """See the base class; the time to learn begins anew."""
        super().restart(step)
        self.origin, self.rows = step, 0

    def _settings(self) -> tuple[str, ...]:
        return 'what', 'learnt', 'risen', 'late', 'least_rows'
