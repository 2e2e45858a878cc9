"""Inverses in closed form against LAPACK's in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from projects.CVT_IO.cvt_io.deploy.graph import DECOMPOSITIONS
from projects.CVT_IO.cvt_io.deploy.inverse import closed_form_inverse

COUNT = 2000


def transforms(metres: float) -> Tensor:
    """(COUNT, 4, 4) random rigid transforms with translations of some metres."""
    generator = torch.Generator().manual_seed(0)
    matrices = torch.eye(4, dtype=torch.float64).repeat(COUNT, 1, 1)
    matrices[:, :3, :3] = torch.linalg.qr(torch.randn(COUNT, 3, 3, dtype=torch.float64, generator=generator))[0]
    matrices[:, :3, 3] = metres * torch.randn(COUNT, 3, dtype=torch.float64, generator=generator)
    return matrices.float()


def cameras(low: float, high: float) -> Tensor:
    """(COUNT, 3, 3) intrinsics with focal lengths in a range, and skew."""
    generator = torch.Generator().manual_seed(0)
    values = low + (high - low) * torch.rand(COUNT, 5, generator=generator)
    matrices = torch.eye(3).repeat(COUNT, 1, 1)
    for i, (row, column) in enumerate([(0, 0), (1, 1), (0, 2), (1, 2)]):
        matrices[:, row, column] = values[:, i]
    matrices[:, 0, 1] = values[:, 4] / 100
    return matrices


@pytest.mark.parametrize(
    'matrices',
    [transforms(2), transforms(50), transforms(1000), cameras(400, 1300), cameras(50, 100), cameras(20, 20000)],
    ids=['2 m', '50 m', '1 km', 'nuScenes', 'small images', 'wild'],
)
def test_as_exact_as_lu_on_calibration(matrices: Tensor) -> None:
    exact = torch.linalg.inv(matrices.double())
    scale = exact.abs().amax((-1, -2), keepdim=True)
    error = ((closed_form_inverse(matrices) - exact) / scale).abs().max()
    # Half a unit in the last place of fp32 is 6e-8; a handful of roundings follow each other.
    assert error < 4e-7
    assert error < 3 * ((torch.linalg.inv(matrices) - exact) / scale).abs().max()


@pytest.mark.parametrize('k', [2, 3, 4])
def test_any_matrix_and_batch(k: int) -> None:
    matrices = torch.randn(2, 5, k, k, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
    assert torch.allclose(closed_form_inverse(matrices), torch.linalg.inv(matrices), rtol=1e-9, atol=1e-9)


def test_by_hand() -> None:
    # det = 1·4 − 2·3 = −2.
    assert closed_form_inverse(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist() == [[-2.0, 1.0], [1.5, -0.5]]


@pytest.mark.parametrize('k', [1, 5])
def test_other_sizes_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f'found {k}×{k}'):
        closed_form_inverse(torch.eye(k))


def test_takes_the_operators_place() -> None:
    class Inverse(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.inv(x)

    matrices = transforms(2)
    program = torch.export.export(Inverse(), (matrices,))
    assert any('linalg_inv' in str(node.target) for node in program.graph.nodes)
    program = program.run_decompositions(DECOMPOSITIONS)
    assert not any('linalg_inv' in str(node.target) for node in program.graph.nodes)
    assert torch.equal(program.module()(matrices), closed_form_inverse(matrices))
