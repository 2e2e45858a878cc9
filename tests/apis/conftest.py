"""A toy model, and a frame for it."""

from __future__ import annotations

import pytest

from projects.CVT_IO.cvt_io.apis import CVTIOInferencer
from tests.apis.toy_inputs import infos


@pytest.fixture(scope='session')
def inferencer(toy_root) -> CVTIOInferencer:
    """The published toy model on the tiny world."""
    options = {'data_root': str(toy_root)}
    return CVTIOInferencer('cvt_io_v2_2_toy', device='cpu', show_progress=False, cfg_options=options)


@pytest.fixture(scope='session')
def frame(toy_root) -> dict:
    """Info of a frame."""
    return infos(toy_root)[0] | {'root': str(toy_root)}
