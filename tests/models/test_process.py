import pytest

from projects.CVT_IO.cvt_io.models.neck.process import Process
from tests.models import naive
from tests.models.cases import TOLERANCE, error, random_grid, random_weights, weights_of

ATTENTION = dict(heads=2, head_dim=8)


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('shared', [True, False])
@pytest.mark.parametrize('depth', [1, 3])
def test_passes_equal_the_naive_ones(dtype, shared, depth):
    process = random_weights(Process(16, depth, shared, ATTENTION).to(dtype))
    latents = random_grid(3, 16, 2, 3)
    expected = naive.process(weights_of(process), latents[:, None], depth, shared, 2)[:, 0]
    assert error(process(latents.to(dtype)), expected) < TOLERANCE[dtype]


def test_shared_and_separate_passes_differ():
    """The parity above could not tell them apart if the separate weights were all alike."""
    process = random_weights(Process(16, 3, False, ATTENTION).double())
    latents = random_grid(1, 16, 2, 3)
    shared = naive.process(weights_of(process), latents[:, None], 3, True, 2)[:, 0]
    assert error(process(latents), shared) > 1e-2


@pytest.mark.parametrize('shared, sets', [(True, 1), (False, 6)])
def test_parameter_count(shared, sets):
    assert sum(p.numel() for p in Process(128, 6, shared, {}).parameters()) == sets * 133_248


def test_grids_of_a_batch_do_not_mix():
    process = random_weights(Process(16, 2, True, ATTENTION).double())
    latents = random_grid(3, 16, 2, 3)
    changed = latents.clone()
    changed[1] += 1 + random_grid(16, 2, 3, seed=1)
    before, after = process(latents), process(changed)
    assert error(after[[0, 2]], before[[0, 2]]) < 1e-12
    assert error(after[1], before[1]) > 1e-2
