"""Original checkpoints become ours, wholly or not at all."""

from __future__ import annotations

import re

import pytest
import torch
from efficientnet_pytorch import EfficientNet
from mmengine.config import Config

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.runtime.config import build_model
from projects.CVT_IO.cvt_io.zoo.original import convert_original, our_name
from tests.models.cases import random_weights
from tests.models.test_backbone import taps
from tests.tiny import REPO
from tests.zoo.lightning_file import original_state, save_lightning

CONFIGS = ['cvt', 'cvt_io_v1_1', 'cvt_io_v2_1', 'cvt_io_v2_2', 'cvt_io_v2_3', 'cvt_io_v2_5', 'cvt_io_v2_6']


def model_of(name: str):
    return build_model(Config.fromfile(REPO / f'configs/{name}.py'))


@pytest.mark.parametrize('name', CONFIGS)
def test_every_tensor_arrives_once(name, tmp_path):
    state, model = original_state(name), model_of(name)
    converted = convert_original(save_lightning(tmp_path / 'x.ckpt', state), model)
    model.load_state_dict(converted, strict=True)
    # Every tensor is another random one, so equal sets of tensors mean a one-to-one renaming.
    assert sorted(t.double().sum().item() for t in converted.values()) == sorted(
        t.double().sum().item() for t in state.values()
    )


@pytest.mark.parametrize(
    ('config', 'original', 'ours'),
    [
        ('cvt', 'encoder.bev_embedding.learned_features', 'neck.prior.features'),
        ('cvt', 'encoder.cross_views.1.bev_embed.bias', 'neck.positions.1.bev_embed.bias'),
        ('cvt', 'encoder.cross_views.0.cam_embed.weight', 'neck.cross_views.0.tokens.cam_embed.weight'),
        ('cvt', 'encoder.layers.1.0.bn2.weight', 'neck.cross_views.1.bottlenecks.0.bn2.weight'),
        ('cvt', 'encoder.backbone.layers.0.1.bias', 'backbone.layers.0.bn.bias'),
        ('cvt', 'encoder.backbone.layers.1.2._bn0.weight', 'backbone.layers.2.0.expand_conv.bn.weight'),
        ('cvt', 'encoder.backbone.layers.3.3._se_expand.bias', 'backbone.layers.4.0.se.conv2.conv.bias'),
        ('cvt', 'decoder.layers.2.up.weight', 'bev_decoder.layers.2.up.weight'),
        ('cvt', 'to_logits.3.bias', 'head.to_logits.3.bias'),
        ('cvt_io_v2_2', 'encoder.latent_array.learned_array', 'neck.latent_array.features'),
        (
            'cvt_io_v2_2',
            'encoder.cross_views.0.cross_attend.to_q.1.weight',
            'neck.encode.cross_views.0.cross_attend.to_q.1.weight',
        ),
        ('cvt_io_v2_2', 'encoder.self_attends.0.mlp.2.bias', 'neck.process.self_attends.0.mlp.2.bias'),
        ('cvt_io_v2_2', 'decoder.bev_embedding.learned_features', 'neck.decode.prior.features'),
        ('cvt_io_v2_2', 'decoder.cross_attens.0.cam_embed.weight', 'neck.decode.cam_embed.weight'),
        ('cvt_io_v2_2', 'decoder.cross_attens.0.bev_embed.weight', 'neck.decode.position.bev_embed.weight'),
    ],
)
def test_names_by_hand(config, original, ours):
    """b4's blocks: 0–1, 2–5, 6–9, 10 in mmdet's stages 1–4; 0–2, 3–6, 7–10 in the original's layers 1–3."""
    model = model_of(config)
    assert our_name(f'backbone.{original}', model) == ours
    assert ours in model.state_dict()


@pytest.mark.parametrize('config', ['cvt', 'cvt_io_v2_3'])
def test_no_part_changes_places(config):
    """Outside the backbone, what follows the first number of a key is kept, and so are all numbers in their order.

    So neither scales, blocks and passes are swapped, nor queries and keys, or the projections of key and value.
    """
    model = model_of(config)
    checked = 0
    for key in original_state(config):
        name, ours = key.removeprefix('backbone.'), our_name(key, model)
        if name.startswith('encoder.backbone.') or not re.search(r'\.\d+\.', name):
            continue
        checked += 1
        rest = re.split(r'\.\d+\.', name, maxsplit=1)[1]
        numbers = re.findall(r'(?<=\.)\d+', name.replace('cross_attens.0.', ''))
        assert ours.endswith(f'.{rest}') and re.findall(r'(?<=\.)\d+', ours) == numbers
    assert checked > 190


def test_backbone_computes_what_the_original_did():
    """The original keeps efficientnet_pytorch's blocks and names; its layers are the stem and blocks 0–2, 3–6, 7–10."""
    reference = random_weights(EfficientNet.from_name('efficientnet-b4'), seed=1)
    state = original_state('cvt')
    starts = {'1': 0, '2': 3, '3': 7}
    for key in state:
        match = re.fullmatch(r'backbone\.encoder\.backbone\.layers\.(\d)\.(\d)\.(.+)', key)
        if match:
            layer, index, rest = match.groups()
            name = (
                f'_blocks.{starts[layer] + int(index)}.{rest}'
                if layer in starts
                else ['_conv_stem.', '_bn0.'][int(index)] + rest
            )
            state[key] = reference.state_dict()[name]
    model = model_of('cvt')
    model.load_state_dict({our_name(key, model): value for key, value in state.items()})
    model.eval().double()
    reference.double()
    imgs = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        for ours, theirs in zip(model.backbone(imgs), taps(reference, imgs, (2, 10)), strict=True):
            assert (ours - theirs).abs().max() < 1e-10 * theirs.abs().max()


def test_a_file_of_the_state_dict_alone(tmp_path):
    torch.save(original_state('cvt'), tmp_path / 'x.pt')
    model = model_of('cvt')
    model.load_state_dict(convert_original(tmp_path / 'x.pt', model))


def refusal(path, name: str) -> str:
    with pytest.raises(DataError) as caught:
        convert_original(path, model_of(name))
    return str(caught.value)


def test_checkpoints_of_other_models(tmp_path):
    def lines(original: str, ours: str) -> list[str]:
        return refusal(save_lightning(tmp_path / 'x.ckpt', original_state(original)), ours).splitlines()[1:]

    both_sides = lines('cvt', 'cvt_io_v2_2')
    assert '  missing in the file: neck.latent_array.features 128×5×5' in both_sides
    assert '  of another model: neck.positions.1.bev_embed.bias 128' in both_sides
    grid = '  other shape: neck.latent_array.features: expected 128×10×10, found 128×5×5'
    assert lines('cvt_io_v2_2', 'cvt_io_v2_1') == [grid]
    unshared = lines('cvt_io_v2_3', 'cvt_io_v2_1')
    # Five further blocks of 3 × 4 + 2 + 2 × 2 + 4 = 22 tensors.
    assert len(unshared) == 5 * 22
    assert all(line.startswith('  of another model: neck.process.self_attends.') for line in unshared)


def test_unknown_missing_and_misshapen_keys(tmp_path):
    state = original_state('cvt')
    state['backbone.encoder.extra.weight'] = torch.zeros(2)
    state['loss.weight'] = torch.zeros(())
    del state['backbone.to_logits.3.bias']
    state['backbone.to_logits.0.weight'] = torch.zeros(64, 64, 1, 1)
    assert refusal(save_lightning(tmp_path / 'x.ckpt', state), 'cvt').splitlines()[1:] == [
        '  left over in the file: backbone.encoder.extra.weight 2',
        '  left over in the file: loss.weight scalar',
        '  missing in the file: head.to_logits.3.bias 2',
        '  other shape: head.to_logits.0.weight: expected 64×64×3×3, found 64×64×1×1',
    ]


@pytest.mark.parametrize(
    'content', [[1], {}, {'state_dict': {}}, {'state_dict': {'a': 1}}, {1: torch.ones(1)}, {'a': torch.ones(1), 'b': 2}]
)
def test_files_without_weights(content, tmp_path):
    torch.save(content, tmp_path / 'x.pt')
    assert 'expected a state dict of tensors, found ' in refusal(tmp_path / 'x.pt', 'cvt')
