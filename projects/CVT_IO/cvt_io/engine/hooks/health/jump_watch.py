"""Detects a persistent rise, as opposed to noise and passing spikes."""

from __future__ import annotations

import math

from .watches import DIFFERENCE_TO_SIGMA, SCATTER_ROWS, Watch

#: A logarithm counts at most this far from the level (a factor of ten), so that no single row weighs more.
CLIP = math.log(10)
#: Blocks before there is a level.
ARMED_AFTER = 4
#: A rise that has lost a quarter of its height within a block is about to pass.
HELD = 0.75
#: A level takes over at most this share of a block.
FASTEST = 0.2
#: A level whose blocks scatter more than this is watched as if they did not.
MOST_NOISE = 0.55


class JumpWatch(Watch):
    """A rise above the running level that stays. Values are positive, compared by their ratio.

    Rows are averaged, as logarithms, over blocks of steps. The level is a running mean of the blocks that is frozen
    while they are above it. A block counts if it is above the level by more than ``jump`` and by more than
    ``noise_factor`` times the scatter of the blocks, so that batches may differ a lot. The alarm needs ``confirm``
    consecutive blocks that are not about to pass, with the last quarter of a block still above.

    Args:
        what: name of the number.
        block: steps of a block; rows that are farther apart are a block each.
        horizon: steps over which the level follows.
        jump: logarithm of the smallest ratio.
        noise_factor: standard deviations of a block.
        confirm: blocks.
    """

    def __init__(self, what: str, block: float, horizon: float, jump: float, noise_factor: float, confirm: int) -> None:
        super().__init__()
        self.what, self.block, self.horizon, self.jump = what, block, horizon, jump
        self.noise_factor, self.confirm = noise_factor, confirm
        self.level: float | None = None  # logarithm
        self.noise = 0.0  # standard deviation of a block
        self.blocks = self.rows = self.above = 0  # so far; in this block; consecutive ones above the level
        self.mean = self.recent = self.before = 0.0  # over this block, over its last part, of the last block
        self.begin: int | None = None  # step before this block
        self.step: int | None = None  # of the last row

    @property
    def suspicious(self) -> bool:
        """See the base class."""
        return self.open or self.above > 0

    def update(self, step: int, value: float) -> str | None:
        """Args: step, larger than the last row's, and the value; other watches take values that are not finite."""
        if not math.isfinite(value):
            return None
        logarithm = math.log(max(value, 1e-30))
        if self.level is None:
            self.level = logarithm
        passed = step - self.step if self.step is not None else self.block
        self.begin = step - 1 if self.begin is None else self.begin
        self.step = step
        height = min(max(logarithm - self.level, -CLIP), CLIP)
        self.rows += 1
        self.mean += (height - self.mean) / self.rows
        self.recent += (height - self.recent) * min(4 * passed / self.block, 1)
        return self._close_block(step) if step - self.begin >= self.block else None

    def restart(self, step: int) -> None:
        """See the base class."""
        super().restart(step)
        self.above = self.rows = 0
        self.mean = self.recent = self.before = 0.0
        self.begin = self.step = step

    def _close_block(self, step: int) -> str | None:
        assert self.level is not None and self.begin is not None  # noqa: S101 - narrows a type
        height, steps = self.mean, step - self.begin
        doubt = 1 + ARMED_AFTER / max(self.blocks, 1)  # the scatter of a few blocks is uncertain
        threshold = max(self.jump, doubt * self.noise_factor * min(self.noise, MOST_NOISE))
        message = None
        if self.blocks >= ARMED_AFTER and height > threshold:
            held = self.above == 0 or height >= HELD * self.before
            self.above = self.above + 1 if held else 1
            if self.open or (self.above >= self.confirm and self.recent > threshold):
                was, now = math.exp(self.level), math.exp(self.level + height)
                more = ' or more' if height >= CLIP else ''
                message = self._switch(True, f'{self.what} rose from {was:.3g} to {now:.3g}{more} and stays there')
        elif not self.open or height < threshold / 2:
            self.open, self.above = False, 0
            height = self._follow(height, steps)
        self.before, self.begin, self.rows, self.mean = height, step, 0, 0.0
        return message

    def _follow(self, height: float, steps: int) -> float:
        """Moves the level towards a block, at first as the mean of all blocks. Returns: what is left of its height."""
        assert self.level is not None  # noqa: S101 - narrows a type
        self.blocks += 1
        share = max(1 / self.blocks if self.blocks <= ARMED_AFTER else 0, min(steps / self.horizon, FASTEST))
        if self.blocks > 1:
            scatter = abs(height - self.before) * DIFFERENCE_TO_SIGMA
            if self.blocks > ARMED_AFTER:
                scatter = min(scatter, 3 * self.noise)
            self.noise += (scatter - self.noise) / min(self.blocks - 1, SCATTER_ROWS)
        self.level += height * share
        self.recent -= height * share
        return height * (1 - share)

    def _settings(self) -> tuple[str, ...]:
        return 'what', 'block', 'horizon', 'jump', 'noise_factor', 'confirm'
