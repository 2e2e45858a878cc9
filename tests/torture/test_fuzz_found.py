"""What the fuzzers found outside of the readers of pickles, by its smallest input."""

from __future__ import annotations

import pytest
import torch

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.zoo.original import convert_original


@pytest.mark.parametrize('content', [torch.ones(2), torch.ones(0), {'state_dict': torch.ones(2)}])
def test_a_tensor_is_no_state_dict(tmp_path, content):
    """Whether a tensor is true is an error of PyTorch's."""
    torch.save(content, tmp_path / 'x.ckpt')
    with pytest.raises(DataError, match='expected a dictionary of tensors'):
        convert_original(tmp_path / 'x.ckpt', torch.nn.Linear(1, 1))
