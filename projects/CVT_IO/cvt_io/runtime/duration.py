"""Durations as batch systems write them."""

from __future__ import annotations

import argparse
import re

_UNITS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400}
_CLOCK = re.compile(r'(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?')


def duration(text: str) -> float:
    """Seconds of ``30`` or ``30m`` (minutes), ``90s``, ``1.5h``, ``2d``, ``23:30:00`` or ``1-23:30:00``.

    ``mm:ss`` is minutes and seconds, as in Slurm, and ``days-hh:mm`` hours and minutes.

    Raises:
        argparse.ArgumentTypeError: the text has another form, or the duration is zero.
    """
    seconds = 0.0
    if found := re.fullmatch(r'(\d+(?:\.\d+)?)([smhd]?)', text):
        seconds = float(found[1]) * _UNITS[found[2] or 'm']
    elif found := _CLOCK.fullmatch(text):
        days, *fields = (int(field) if field else None for field in found.groups())
        if days is None and fields[2] is None:  # minutes and seconds alone
            fields = [0, *fields[:2]]
        hours, minutes, rest = (field or 0 for field in fields)
        seconds = (((days or 0) * 24 + hours) * 60 + minutes) * 60 + rest
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f'expected a duration like 23:30:00, 90 (minutes) or 2h, got {text!r}')
    return seconds
