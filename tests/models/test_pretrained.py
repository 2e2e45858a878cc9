import hashlib
import pickle

import pytest
import torch
from mmdet.models.backbones.efficientnet import EfficientNet

from projects.CVT_IO.cvt_io.models import CVTIOEfficientNet
from projects.CVT_IO.cvt_io.models.pretrained import PretrainedError
from tests.models.cases import random_weights
from tests.web_server import serve


@pytest.fixture(scope='module')
def published() -> dict[str, torch.Tensor]:
    """What OpenMMLab publishes: a whole B4 under ``backbone.``, and a classifier."""
    full = random_weights(EfficientNet('b4', out_indices=(6,)), seed=4)
    weights = {f'backbone.{name}': tensor for name, tensor in full.state_dict().items()}
    return weights | {'head.fc.weight': torch.zeros(3, 1792), 'head.fc.bias': torch.zeros(3)}


def backbone_from(checkpoint: object, arch: str = 'b4', prefix: str = 'backbone.') -> CVTIOEfficientNet:
    backbone = CVTIOEfficientNet(arch, init_cfg=dict(type='Pretrained', checkpoint=str(checkpoint), prefix=prefix))
    backbone.init_weights()
    return backbone


def assert_loaded(backbone: CVTIOEfficientNet, published: dict[str, torch.Tensor]) -> None:
    for name, tensor in backbone.state_dict().items():
        if not name.endswith('num_batches_tracked'):
            assert torch.equal(tensor, published[f'backbone.{name}']), name


@pytest.mark.parametrize(
    ('change', 'prefix'),
    [
        (lambda weights: weights, 'backbone.'),
        (lambda weights: dict(meta={}, state_dict=weights), 'backbone.'),
        # OpenMMLab's converter writes weights and moving averages only; TensorFlow counts no batches.
        (lambda weights: {k: v for k, v in weights.items() if not k.endswith('num_batches_tracked')}, 'backbone.'),
        (lambda weights: {k.removeprefix('backbone.'): v for k, v in weights.items()}, ''),
    ],
    ids=['published', 'with meta', 'from TensorFlow', 'without a prefix'],
)
def test_a_checkpoint_loads(published, change, prefix, tmp_path):
    torch.save(change(published), tmp_path / 'b4.pth')
    assert_loaded(backbone_from(tmp_path / 'b4.pth', prefix=prefix), published)


def test_loading_replaces_a_second_initialisation(published, tmp_path):
    """The runner may call ``init_weights`` once more."""
    torch.save(published, tmp_path / 'b4.pth')
    backbone = backbone_from(tmp_path / 'b4.pth')
    backbone.init_weights()
    assert_loaded(backbone, published)


def message_of(checkpoint: object, **kwargs) -> str:
    with pytest.raises(PretrainedError) as caught:
        backbone_from(checkpoint, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize('content', [None, b'', b'<html>404</html>', b'PK\x03\x04 half a file'])
def test_a_missing_or_broken_file_names_both_ways_out(content, tmp_path):
    if content is not None:
        (tmp_path / 'b4.pth').write_bytes(content)
    message = message_of(tmp_path / 'b4.pth')
    assert str(tmp_path / 'b4.pth') in message
    assert content is not None or '--cfg-options model.backbone.init_cfg.checkpoint=' in message
    assert '--cfg-options model.backbone.init_cfg=None' in message


class _Touch:
    """Unpickling it creates a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, 'w')


@pytest.mark.parametrize('legacy', [True, False])
def test_nothing_in_a_malicious_file_is_run(legacy, tmp_path):
    proof, path = tmp_path / 'executed', tmp_path / 'b4.pth'
    content = {'backbone.layers.0.conv.weight': _Touch(str(proof))}
    if legacy:
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path)
    message = message_of(path)
    assert not proof.exists()
    assert str(path) in message
    assert 'model.backbone.init_cfg=None' in message


@pytest.mark.parametrize(
    ('missing', 'settings', 'named'),
    [
        ('', dict(arch='b0'), 'layers.0.conv.weight'),
        ('', dict(prefix='encoder.'), ''),
        ('layers.3.1.se.conv2.conv.bias', {}, 'layers.3.1.se.conv2.conv.bias'),
    ],
    ids=['another architecture', 'a wrong prefix', 'a weight is missing'],
)
def test_weights_that_do_not_fit_are_refused(published, missing, settings, named, tmp_path):
    torch.save({k: v for k, v in published.items() if k != f'backbone.{missing}'}, tmp_path / 'b4.pth')
    message = message_of(tmp_path / 'b4.pth', **settings)
    assert str(tmp_path / 'b4.pth') in message and named in message


def test_a_refused_checkpoint_leaves_the_weights_alone(published, tmp_path):
    torch.save(published, tmp_path / 'b4.pth')
    checkpoint = dict(type='Pretrained', checkpoint=str(tmp_path / 'b4.pth'), prefix='backbone.')
    backbone = CVTIOEfficientNet('b0', init_cfg=checkpoint)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(PretrainedError):
        backbone.init_weights()
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())


@pytest.mark.parametrize('content', [torch.zeros(3), [1, 2], {'state_dict': 3}, {1: torch.zeros(2)}])
def test_a_file_without_a_state_dict_is_refused(content, tmp_path):
    torch.save(content, tmp_path / 'b4.pth')
    assert str(tmp_path / 'b4.pth') in message_of(tmp_path / 'b4.pth')


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves ``tmp_path/site`` on this machine; downloads go to ``tmp_path/hub``."""
    (tmp_path / 'site').mkdir()
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    with serve(tmp_path / 'site') as url:
        yield url


def test_a_download_is_checked_and_kept(published, server, tmp_path):
    torch.save(published, tmp_path / 'site' / 'b4.pth')
    digest = hashlib.sha256((tmp_path / 'site' / 'b4.pth').read_bytes()).hexdigest()[:8]
    name = f'efficientnet-b4_in1k-{digest}.pth'
    (tmp_path / 'site' / 'b4.pth').rename(tmp_path / 'site' / name)
    assert_loaded(backbone_from(f'{server}/{name}'), published)
    (tmp_path / 'site' / name).unlink()
    assert_loaded(backbone_from(f'{server}/{name}'), published)  # from the kept copy


def test_a_download_with_another_hash_is_refused_and_not_kept(published, server, tmp_path):
    torch.save(published, tmp_path / 'site' / 'b4-00000000.pth')
    message = message_of(f'{server}/b4-00000000.pth')
    assert 'hash' in message
    assert 'model.backbone.init_cfg=None' in message
    assert [path for path in (tmp_path / 'hub').rglob('*') if path.is_file()] == []


def test_a_failed_download_names_both_ways_out(server):
    message = message_of(f'{server}/efficientnet-b4_in1k-45b8bd2b.pth')
    assert f'{server}/efficientnet-b4_in1k-45b8bd2b.pth' in message
    assert 'init_cfg.checkpoint=PATH/efficientnet-b4_in1k-45b8bd2b.pth' in message
    assert 'model.backbone.init_cfg=None' in message
