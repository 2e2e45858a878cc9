"""Frames by what a user types of their tokens."""

from __future__ import annotations

import pytest

from projects.CVT_IO.cvt_io.datasets.tokens import matching

TOKENS = ['image-1', 'image-10', 'other', 'image-2']


@pytest.mark.parametrize(
    ('start', 'expected'),
    [('image-10', [1]), ('image-1', [0]), ('image', [0, 1, 3]), ('o', [2]), ('mage', []), ('', [0, 1, 2, 3])],
)
def test_exact_token_comes_before_those_that_begin_so(start, expected):
    assert matching(TOKENS, start) == expected
