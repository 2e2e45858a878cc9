"""Counts against the notes' exact figures and against counts by hand."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from torch import nn

from projects.CVT_IO.cvt_io.analysis.complexity import count_complexity
from projects.CVT_IO.cvt_io.analysis.notes import notes_table
from projects.CVT_IO.cvt_io.runtime.config import build_model
from tests.tiny import REPO

# name: params_notes, macs_notes, params, GMACs. The first two are what the notes' own code and thop gave, the others
# counted on a literal einsum implementation of the architecture.
EXACT = {
    'cvt': (670_322, 6_933_791_744, 1_080_194, 18.211),
    'cvt_io_v1_1': (936_946, 7_437_775_616, 1_359_618, 13.136),
    'cvt_io_v2_1': (936_946, 6_917_583_616, 1_359_618, 12.549),
    'cvt_io_v2_2': (936_946, 6_809_142_016, 1_350_018, 11.534),
    'cvt_io_v2_3': (1_603_186, 6_917_583_616, 2_025_858, 12.549),
    'cvt_io_v2_4': (1_603_186, 6_917_583_616, 2_025_858, 12.549),
    'cvt_io_v2_5': (936_946, 6_779_994_368, 1_347_970, 11.314),
    'cvt_io_v2_6': (936_946, 6_829_186_816, 1_350_018, 11.555),
    'cvt_io_v2_7': (936_946, 6_822_505_216, 1_350_018, None),
    'cvt_io_v2_8': (936_946, 6_786_007_808, 1_347_970, None),
    'cvt_io_v2_9': (936_946, 6_802_460_416, 1_350_018, None),
}


def model_of(name: str) -> nn.Module:
    return build_model(Config.fromfile(REPO / f'configs/{name}.py'))


@pytest.mark.parametrize('name', EXACT)
def test_the_notes_models(name):
    params_notes, macs_notes, params, gmacs = EXACT[name]
    counted = count_complexity(model_of(name), (224, 480))
    assert (counted.params_notes, counted.macs_notes, counted.params) == (params_notes, macs_notes, params)
    if gmacs is not None:
        assert round(counted.macs / 1e9, 3) == gmacs
    row = notes_table()[name]  # rounded: 936,946 is cut to 936.94K
    if row.params_k is not None:
        assert params_notes / 1e3 == pytest.approx(row.params_k, abs=0.01)
        assert macs_notes / 1e9 == pytest.approx(row.gflops, abs=0.001)
    assert sum(counted.parts.values()) == counted.macs
    inner = ['neck'] if name == 'cvt' else ['encode', 'process', 'decode']
    assert list(counted.parts) == ['backbone', *inner, 'bev_decoder', 'head']
    assert round(counted.parts['backbone'] / 1e9, 3) == 5.172


def test_parts_by_hand():
    """Head: 64→64 with 3×3 and 64→2 on 200×200. Process, L = 6 passes over T = 25 tokens of d = 128.

    A pass: four projections d→d, an MLP d→2d→d, and two products of T×T×d.
    """
    parts = count_complexity(model_of('cvt_io_v2_2'), (224, 480)).parts
    assert parts['head'] == 200 * 200 * (64 * 64 * 9 + 64 * 2)
    assert parts['process'] == 6 * (25 * (4 * 128 * 128 + 2 * 128 * 256) + 2 * 25 * 25 * 128)


def test_more_passes_cost_only_their_passes():
    few, many = (count_complexity(model_of(name), (224, 480)) for name in ('cvt_io_v2_2', 'cvt_io_v2_6'))
    assert many.parts['process'] == 2 * few.parts['process']
    assert many.params_notes == few.params_notes
    assert {k: v for k, v in many.parts.items() if k != 'process'} == {
        k: v for k, v in few.parts.items() if k != 'process'
    }
    # By the notes' way a pass has no T×T products, but five LayerNorms of four operations an element.
    a_pass = 25 * (4 * 128 * 128 + 2 * 128 * 256) + 5 * 4 * 25 * 128
    assert many.macs_notes - few.macs_notes == 6 * a_pass


def test_size_and_number_of_the_images():
    """The backbone's convolutions over whole cells: twice the area or cameras, twice the cost (but for squeezes)."""
    model = model_of('toy/cvt_io_v2_2_toy')
    one, wide, two = (
        count_complexity(model, size, cameras).parts for size, cameras in (((64, 64), 1), ((64, 128), 1), ((64, 64), 2))
    )
    assert two['backbone'] == 2 * one['backbone']
    assert wide['backbone'] == pytest.approx(2 * one['backbone'], rel=0.01)
    assert wide['process'] == two['process'] == one['process']
    assert wide['bev_decoder'] == two['bev_decoder'] == one['bev_decoder']


def test_counting_does_not_depend_on_the_attention_path(monkeypatch):
    """The plain forward is counted: also if the model at hand projects shared queries once for each camera itself."""
    from projects.CVT_IO.cvt_io.models.neck import encode

    def forward(self, latents, features, rig):
        for cross_view, feature in zip(self.cross_views, features, strict=True):
            query = latents[:, None].expand(-1, feature.shape[1], -1, -1, -1)
            latents = cross_view(query, latents, feature, rig)
        return latents

    expected = count_complexity(model_of('cvt_io_v2_2'), (224, 480))
    monkeypatch.setattr(encode.Encode, 'forward', forward)
    assert count_complexity(model_of('cvt_io_v2_2'), (224, 480)) == expected


def test_the_model_still_computes_afterwards():
    model = model_of('toy/cvt_io_v2_2_toy').eval()
    inputs = torch.rand(1, 2, 3, 64, 96), torch.eye(3).expand(1, 2, 3, 3), torch.eye(4).expand(1, 2, 4, 4)
    with torch.no_grad():
        before = model.bev_logits(*inputs)
        count_complexity(model, (64, 96))
        assert torch.equal(model.bev_logits(*inputs), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_parts_of_v3_by_hand():
    """Six images at strides 8 and 16, d = 128; 100² cells × 4 heights × 2 cameras × 4 tokens of 64 channels."""
    counted = count_complexity(model_of('cvt_io_v3'), (224, 480))
    fine, coarse, latents, mid = 6 * 28 * 60, 6 * 14 * 30, 16 * 16, 50 * 50
    block = 4 * 128**2 + 2 * 128 * 256  # of a query that is its own context
    read = block - 2 * 128**2
    assert counted.parts['coarse'] == coarse * 112 * 128
    assert counted.parts['image_neck'] == fine * (56 * 128 + 9 * 128 + 128**2)
    assert counted.parts['lift'] == fine * 128 * 4 * (64 + 2) + 100**2 * 4 * 2 * 4 * 64
    assert counted.parts['process'] == 6 * (latents * block + 2 * latents**2 * 128)
    assert counted.parts['decode'] == mid * read + 2 * latents * 128**2 + 2 * mid * latents * 128
    assert counted.parts['trunk'] == mid * 2 * 9 * 128**2
    assert counted.parts['bev_decoder'] == 100**2 * 9 * 96 * 128
    assert counted.parts['head'] == 100**2 * 128 * 2 * 4
    assert sum(counted.parts.values()) == counted.macs == 8_916_201_210
    assert counted.params == 1_681_756


@pytest.mark.parametrize(
    ('name', 'missing'),
    [
        ('cvt_io_v3_no_lift', {'image_neck', 'lift', 'down'}),
        ('cvt_io_v3_no_latents', {'latent_array', 'encode', 'process', 'decode'}),
        ('cvt_io_v3_no_gate', set()),
    ],
)
def test_parts_that_ablations_lack(name, missing):
    whole, without = (count_complexity(model_of(config), (224, 480)).parts for config in ('cvt_io_v3', name))
    assert set(whole) - set(without) == missing
    gate = 6 * 28 * 60 * 128 * 4 * 2
    if name == 'cvt_io_v3_no_gate':
        assert whole['lift'] - without['lift'] == gate
