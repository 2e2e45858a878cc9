"""A line of the report."""

from __future__ import annotations

import pytest

from projects.CVT_IO.torture.outcome import Outcome


@pytest.mark.parametrize(
    ('tried', 'survived', 'passed'),
    [(3, 3, True), (3, 2, False), (3, 4, False), (0, 0, False)],  # nothing tried shows nothing
)
def test_passed(tried, survived, passed):
    assert Outcome('kills', tried, survived).passed is passed


def test_row():
    assert (
        Outcome('kills', 1200, 1200, 'seed 1').row('resume', 61.4) == '| resume | kills | 1,200 | 1,200 | seed 1 | 61 |'
    )
    assert '| **19** |' in Outcome('kills', 20, 19).row('resume', 1.0)
