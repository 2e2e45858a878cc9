"""Predicted maps of a split in a file that needs no pickle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.registry import METRICS


@pytest.mark.parametrize('center', [False, True])
def test_file(tmp_path, center):
    """Each frame once, in its order, with the maps that the model gave."""
    rng = torch.Generator().manual_seed(0)
    frames = {f'token{i}': torch.rand(2, 3, 4, generator=rng) for i in range(3)}
    path = tmp_path / 'new/out.npz'
    metric = METRICS.build(dict(type='CVTIOPredictions', out_file=str(path), label_groups=dict(a={}, b={})))
    samples = [
        dict(sample_token=token, pred_bev=dict(scores=scores) | (dict(center=scores[0] / 2) if center else {}))
        for token, scores in frames.items()
    ]
    metric.process({}, samples[:2])
    metric.process({}, [samples[2], samples[0]])  # a sampler pads with frames that it has given before
    assert metric.evaluate(3) == {} and not metric.results
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    assert arrays.keys() == {'sample_token', 'label_groups', 'scores'} | ({'center'} if center else set())
    assert [*arrays['sample_token']] == [*frames] and [*arrays['label_groups']] == ['a', 'b']
    assert arrays['scores'].dtype == np.float16
    np.testing.assert_allclose(arrays['scores'], torch.stack([*frames.values()]), atol=2**-11)
    if center:
        np.testing.assert_allclose(arrays['center'], torch.stack([*frames.values()])[:, 0] / 2, atol=2**-11)
