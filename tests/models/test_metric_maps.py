"""The maps of ``cvt_io_v3``, against the blocks' outputs and naive projections."""

from itertools import product

import pytest
import torch
from mmdet3d.registry import MODELS

from projects.CVT_IO.cvt_io.models import CVTIOSegmentor
from projects.CVT_IO.cvt_io.models.attention_maps import attention_maps
from projects.CVT_IO.cvt_io.models.neck.metric_maps import metric_weights
from tests.models import naive_v3
from tests.models.cases import TALL, error, random_weights
from tests.models.naive import Calibration
from tests.models.test_latent_block import INPUTS, block_of
from tests.models.test_segmentor import inputs_of

LIFT = dict(channels=5, heights=(0.0, 2.0), cameras=2)
LATENTS = dict(size=(2, 3), depth=2, shared=True, heads=2)
CAMERAS, CELLS = 4, (6, 4)


def model_of(lift: dict | None = LIFT, latents: dict | None = LATENTS) -> CVTIOSegmentor:
    bev_grid = dict(size=TALL.size, metres=TALL.metres, offset=TALL.offset)
    neck = dict(type='CVTIOLiftNeck', in_channels=(24, 40), bev_grid=bev_grid, dim=8, lift=lift, latents=latents)
    focal = dict(type='CVTIOFocalLoss')
    cfg = dict(
        type='CVTIOSegmentor',
        backbone=dict(type='CVTIOEfficientNet', arch='b0', out_blocks=(2, 4)),
        neck=neck,
        bev_decoder=dict(type='CVTIOFuse', in_channels=7 if lift else 2, channels=4),
        head=dict(
            type='CVTIOSubPixelHead',
            in_channels=4,
            label_groups=dict(vehicle=dict(classes=['car'])),
            losses=dict(focal=focal),
            loss_center=focal,
        ),
    )
    return random_weights(MODELS.build(cfg))


def test_weights_mix_to_the_output_of_the_block():
    block = block_of()
    x, context, scales = (tensor.float() for tensor in INPUTS)
    weights = metric_weights(block, x, context)
    assert weights.shape == (2, 3, 5, 7) and error(weights.sum(-1), torch.ones(2, 3, 5)) < 1e-6
    values = block.to_v(block.context_norm(context)).unflatten(-1, (3, 4))  # b K m c
    mixed = x + scales[0] * block.proj(torch.einsum('bmqk,bkmc->bqmc', weights, values).flatten(2))
    expected = mixed + scales[1] * block.mlp(block.mlp_norm(mixed))
    assert error(block(x, context, scales), expected) < 1e-5


def test_shapes_sums_and_logits():
    model, inputs = model_of(), inputs_of(CAMERAS)
    maps = attention_maps(model, **inputs)
    (reads,) = maps.reads
    assert reads.shape == (2, 1, 2, 6, CAMERAS, 4, 6)  # b g m Q n h w: stride 8 of 36×52 pixels, cut at the border
    assert maps.decode.shape == (2, 2, 24, 1, 6)
    assert (maps.reader_size, maps.bev_size, maps.tiled) == ((2, 3), CELLS, True)
    assert error(reads.sum((4, 5, 6)), torch.ones(2, 1, 2, 6)) < 1e-5
    assert error(maps.composed(0).sum((2, 3, 4)), torch.ones(2, 24)) < 1e-5
    with torch.no_grad():
        assert torch.equal(maps.logits, model.bev_logits(**inputs))


def test_samples_are_where_the_points_project_to():
    """Of each cell of the mid grid: 2×2 fine cells, two heights, at most two cameras."""
    inputs = inputs_of(CAMERAS)
    samples = attention_maps(model_of(LIFT | dict(gate=False)), **inputs).samples
    assert samples.camera.shape == (2, 24, 2 * 2 * 2 * 2)
    calibration = Calibration(inputs['intrinsics'].double(), inputs['cam_from_ego'].double(), (36, 52))
    centres = naive_v3.cell_centres(TALL, (12, 8))
    for b, row, column in product(range(2), *map(range, CELLS)):
        expected = []
        for i, j, metres in product((0, 1), (0, 1), LIFT['heights']):
            point = torch.tensor([[*centres[:, 2 * row + i, 2 * column + j], metres]]).double()
            u, v, _, seen = (x[b, 0].tolist() for x in naive_v3.seen_at(calibration, point))
            first = [n for n in range(CAMERAS) if seen[n]][:2]
            expected += [(n, u[n], v[n], 1 / len(first)) for n in first]
        cell = row * CELLS[1] + column
        found = zip(*(x[b, cell].tolist() for x in (samples.camera, samples.u, samples.v, samples.weight)), strict=True)
        found = sorted(sample for sample in found if sample[-1] > 0)
        assert [n for n, *_ in found] == [n for n, *_ in sorted(expected)]
        assert torch.tensor(found).numpy() == pytest.approx(torch.tensor(sorted(expected)).numpy(), abs=1e-4)


def test_ablations():
    maps = attention_maps(model_of(lift=None), **inputs_of(2))
    assert maps.samples is None and maps.decode is not None
    with pytest.raises(ValueError, match='expected a model with latents, found none'):
        attention_maps(model_of(latents=None), **inputs_of(2))
