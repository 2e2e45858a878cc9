"""The measurement of the health hook's cost."""

from __future__ import annotations

from projects.CVT_IO.benchmarks.health_cost import LIMIT, measure_health
from tests.deploy.exported import tiny_latent_config


def test_a_tiny_model_is_measured():
    result = measure_health('tiny', tiny_latent_config(), 1, 1)
    assert 0 < result.found < 1 and result.limit == LIMIT == 0.01
    assert ' ms of ' in result.note
