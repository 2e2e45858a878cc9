from __future__ import annotations

import numpy as np
import pytest

from projects.CVT_IO.benchmarks import plain_labels
from projects.CVT_IO.benchmarks.plain_labels import label_steps
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.codec import decode_label

GRID = BEVGrid((100, 80), (100, 80))


def test_steps_give_the_same_labels(toy_root):
    steps = label_steps(toy_root, 'v1.0-mini', GRID, frames=3)
    results = {name: step() for name, step in steps.items()}
    assert {name: len(labels) for name, labels in results.items()} == dict.fromkeys(steps, 3)
    files = [decode_label(data, GRID) for data in results['ours, file']]
    for plain, planes, file in zip(results['plain'], results['ours, planes'], files, strict=True):
        for label in (planes, file):
            np.testing.assert_array_equal(label.classes, plain.classes)
            np.testing.assert_array_equal(label.visibility, plain.visibility)
            np.testing.assert_allclose(label.center, plain.center, rtol=0, atol=1e-6)
    assert all(label.classes[:5].any() for label in results['plain'])


def test_a_difference_is_an_error(toy_root, monkeypatch):
    cells = plain_labels._cells
    monkeypatch.setattr(plain_labels, '_cells', lambda points, matrix: cells(points, matrix) + 1)
    with pytest.raises(ValueError, match=r'sample .*: expected the plain label and ours to be equal'):
        label_steps(toy_root, 'v1.0-mini', GRID, frames=1)
