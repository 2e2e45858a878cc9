"""The maps against the block's own output, a naive float64 attention, and each other."""

import math
from itertools import product

import pytest
import torch

from projects.CVT_IO.cvt_io.models.attention_maps import AttentionMaps, attention_maps, attention_weights
from projects.CVT_IO.cvt_io.models.layers import CrossAttention
from projects.CVT_IO.cvt_io.models.layers.attention import tokens_of
from tests.models.cases import error, random_grid, random_weights, weights_of
from tests.models.naive import layer_norm, linear
from tests.models.test_segmentor import NECKS, inputs_of, segmentor_of

CAMERAS, HEADS, LATENTS, CELLS = 3, 2, (2, 3), (3, 2)


def model_of(neck):
    return random_weights(segmentor_of(neck))


@pytest.fixture(scope='module', params=NECKS)
def found(request) -> tuple[str, AttentionMaps]:
    return request.param, attention_maps(model_of(request.param), **inputs_of(CAMERAS))


def naive_weights(block, query, key):
    """(b, m, Q, n, h·w), one exponential at a time."""
    weights = weights_of(block)
    projected = [
        linear(weights / name / 1, layer_norm(weights / name / 0, grid))
        for name, grid in (('to_q', query), ('to_k', key))
    ]
    q, k = (tokens_of(x).unflatten(-1, (block.heads, -1)) for x in projected)  # b n T m c
    batch, cameras = max(len(q), len(k)), max(q.shape[1], k.shape[1])
    out = torch.zeros(batch, block.heads, q.shape[2], cameras, k.shape[2], dtype=torch.float64)
    for b, m, i in product(range(batch), range(block.heads), range(q.shape[2])):
        for n, j in product(range(cameras), range(k.shape[2])):
            queried, seen = q[b, n % q.shape[1], i, m], k[b, n % k.shape[1], j, m]
            out[b, m, i, n, j] = math.exp(torch.dot(queried, seen).item() / math.sqrt(q.shape[-1]))
        out[b, m, i] /= out[b, m, i].sum()
    return out


@pytest.mark.parametrize('of_query, of_key', [(1, 3), (3, 1), (3, 3), (1, 1)], ids=str)
def test_weights_equal_the_naive_ones_and_mix_to_the_output_of_the_block(of_query, of_key):
    block = random_weights(CrossAttention(8, heads=2, head_dim=4))
    query, key = random_grid(2, of_query, 8, 2, 3, seed=1).float(), random_grid(2, of_key, 8, 3, 2, seed=2).float()
    value = random_grid(2, of_key, 8, 3, 2, seed=3).float()
    weights = attention_weights(block, query, key)
    assert error(weights, naive_weights(block, query.double(), key.double())) < 1e-5
    values = block.split_heads(block.to_v(tokens_of(value)))  # b n m K c
    values = values.expand(-1, weights.shape[3], -1, -1, -1)
    mixed = torch.einsum('bmqnk,bnmkc->bmqc', weights, values)
    assert error(block.refine(mixed, (2, 3), None), block(query, key, value)) < 1e-5


def test_shapes(found):
    neck, maps = found
    readers, grids, seen = (CELLS, 1, CAMERAS) if neck == 'cvt' else (LATENTS, 1, CAMERAS)
    if neck == 'v1':
        grids, seen = CAMERAS, 1
    features = model_of(neck).backbone(inputs_of(CAMERAS)['imgs'].flatten(0, 1))
    for read, size in zip(maps.reads, [feature.shape[-2:] for feature in features], strict=True):
        assert read.shape == (2, grids, HEADS, math.prod(readers), seen, *size)
    assert (maps.reader_size, maps.bev_size) == (readers, CELLS)
    if neck == 'cvt':
        assert maps.decode is None and maps.latents_of_cells() is None
    else:
        assert maps.decode.shape == (2, HEADS, math.prod(CELLS), CAMERAS, math.prod(LATENTS))


def test_what_is_spent_sums_to_one(found):
    _, maps = found
    for scale, read in enumerate(maps.reads):
        assert read.min() >= 0
        torch.testing.assert_close(read.sum((-3, -2, -1)), torch.ones(read.shape[:4]))
        for heads in product([None, 0, 1], repeat=2):
            composed = maps.composed(scale, *heads)
            assert composed.shape == (2, math.prod(CELLS), CAMERAS, *read.shape[-2:])
            torch.testing.assert_close(composed.sum((-3, -2, -1)), torch.ones(composed.shape[:2]))
    if maps.decode is not None:
        assert maps.decode.min() >= 0
        torch.testing.assert_close(maps.decode.sum((-2, -1)), torch.ones(maps.decode.shape[:3]))
        for head in (None, 0, 1):
            cells = maps.latents_of_cells(head)
            torch.testing.assert_close(cells.sum((-2, -1)), torch.ones(cells.shape[:2]))


def test_composed_is_the_sum_over_the_latents(found):
    neck, maps = found
    b, scale, head, decode_head = 1, 1, 0, 1
    composed = maps.composed(scale, head, decode_head)
    read = maps.reads[scale]
    for p, n, y, x in product(range(math.prod(CELLS)), range(CAMERAS), *map(range, read.shape[-2:])):
        if neck == 'cvt':
            expected = read[b, 0, head, p, n, y, x].item()
        else:
            # v1: a camera's patches are read by its own latents alone. v2: the cell's reading of a latent, from
            # whichever camera, leads on to all patches that the latent reads.
            expected = sum(
                maps.decode[b, decode_head, p, from_camera, i].item()
                * (read[b, n, head, i, 0, y, x] if neck == 'v1' else read[b, 0, head, i, n, y, x]).item()
                for i in range(math.prod(LATENTS))
                for from_camera in ([n] if neck == 'v1' else range(CAMERAS))
            )
        assert composed[b, p, n, y, x].item() == pytest.approx(expected, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize('neck', NECKS)
def test_weights_and_values_make_what_the_blocks_of_the_fast_forward_make(neck):
    """The maps belong to the model that runs: mixed with the values, they lead to the logits of its usual forward."""
    model, inputs = model_of(neck), inputs_of(CAMERAS)
    with torch.no_grad():
        usual = model.bev_logits(**inputs)
    outputs = {}
    views = [*(model.neck.cross_views if neck == 'cvt' else model.neck.encode.cross_views)]
    parts = views if neck == 'cvt' else [*views, model.neck.decode]
    hooks = [
        part.cross_attend.register_forward_hook(lambda block, inputs, output: outputs.update({block: (inputs, output)}))
        for part in parts
    ]
    maps = attention_maps(model, **inputs)
    for hook in hooks:
        hook.remove()
    assert error(maps.logits, usual) < 1e-4
    found = [read.flatten(0, 1).flatten(-2) for read in maps.reads] + ([] if neck == 'cvt' else [maps.decode])
    for part, weights in zip(parts, found, strict=True):
        block = part.cross_attend
        (query, _, value, *skip), output = outputs[block]
        values = block.split_heads(block.to_v(tokens_of(value))).expand(-1, weights.shape[3], -1, -1, -1)
        mixed = torch.einsum('bmqnk,bnmkc->bmqc', weights, values)
        refined = block.refine(mixed, query.shape[-2:], skip[0] if skip else None)
        assert error(refined, output) < 1e-5


def test_a_patch_that_changes_is_a_patch_that_is_read():
    """Of the right sample, camera and place: only the sample and camera whose image changed have other maps in v1."""
    model, inputs = model_of('v1'), inputs_of(CAMERAS)
    before = attention_maps(model, **inputs).reads[0]
    inputs['imgs'] = inputs['imgs'].clone()
    inputs['imgs'][1, 2] += random_grid(3, 36, 52, seed=7).float()
    changed = (attention_maps(model, **inputs).reads[0] - before).abs().amax((2, 3, 4, 5, 6)) > 1e-4  # b g
    assert changed.tolist() == [[False, False, False], [False, False, True]]


def test_a_model_in_training_is_refused_and_hooks_do_not_stay():
    model = model_of('v2')
    attention_maps(model, **inputs_of(CAMERAS))
    assert not any(module._forward_pre_hooks for module in model.modules())
    model.train()
    with pytest.raises(ValueError, match='in evaluation mode'):
        attention_maps(model, **inputs_of(CAMERAS))
