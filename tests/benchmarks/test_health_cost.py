"""The measurement of the health hook's cost."""

from __future__ import annotations

import pytest

from projects.CVT_IO.benchmarks.health_cost import LIMIT, measure_health, shares
from projects.CVT_IO.cvt_io.analysis.latency import Timing
from tests.deploy.exported import tiny_latent_config


def test_looks_count_by_their_share():
    # Medians: 0.3 s for a hundred calls; a look at the parameters each 20 steps, at the attention each 200.
    timings = {
        'each': Timing([0.2, 0.3, 0.4], None),
        'parameters': Timing([0.1], None),
        'attention': Timing([4.0], None),
    }
    found = shares(timings, 20, 200)
    assert found == pytest.approx({'at each': 0.003, 'for parameters': 0.005, 'for attention': 0.02})


def test_a_tiny_model_is_measured():
    result = measure_health('tiny', tiny_latent_config(), 1, 1)
    assert 0 < result.found < 1 and result.limit == LIMIT == 0.01
    assert 'ms at each' in result.note and 'ms for attention' in result.note
