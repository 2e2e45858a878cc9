"""Durations as users write them."""

from __future__ import annotations

import argparse

import pytest

from projects.CVT_IO.cvt_io.runtime.duration import duration


@pytest.mark.parametrize(
    ('text', 'seconds'),
    [
        ('30', 1800),
        ('45s', 45),
        ('30m', 1800),
        ('1.5h', 5400),
        ('2d', 172_800),
        ('23:30:00', 84_600),
        ('12:34', 754),  # Slurm's minutes and seconds
        ('1-02:00:05', 93_605),
        ('1-02:30', 95_400),
    ],
)
def test_seconds(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize('text', ['', '0', '00:00:00', '-5', '2 h', '1:2:3', 'soon', '1h30m', 'nan'])
def test_others_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r'expected a duration like 23:30:00'):
        duration(text)
