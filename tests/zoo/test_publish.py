"""Published files hold weights and what they are."""

from __future__ import annotations

import hashlib

import pytest
import torch

from projects.CVT_IO.cvt_io.zoo.publish import publish

STATE = {'w': torch.arange(4.0), 'bn.num_batches_tracked': torch.tensor(3)}
META = dict(version='1.2', cfg='a = 1', dataset_meta=dict(classes=('car',)), seed=2022, hook_msgs={}, iter=5)


@pytest.mark.parametrize('name', ['cvt_io_v2_depth', 'path.pth.tar', 'cvt_v1.5', 'pth', 'tht'])
def test_the_name_survives_and_ends_in_the_files_hash_if_wanted(name, tmp_path):
    path = publish(tmp_path / f'{name}.pth', STATE, META)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert path == tmp_path / f'{name}-{digits}.pth'
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    plain = tmp_path / 'new' / name  # without suffix and hash
    assert publish(plain, STATE, META, hash_in_name=False) == plain and plain.is_file()


def test_content(tmp_path):
    content = torch.load(publish(tmp_path / 'x.pth', STATE, META), weights_only=True)
    assert content['meta'] == dict(version='1.2', cfg='a = 1', dataset_meta=dict(classes=('car',)), iter=5)
    assert list(content['state_dict']) == list(STATE)
    assert all(torch.equal(content['state_dict'][key], value) for key, value in STATE.items())


def test_equal_weights_give_equal_bytes(tmp_path):
    assert publish(tmp_path / 'x.pth', STATE, META) == publish(tmp_path / 'x.pth', {**STATE}, META | dict(seed=1))


def test_a_view_takes_no_more_than_itself(tmp_path):
    small = publish(tmp_path / 'x.pth', {'w': torch.zeros(100_000)[:2]}, {}).stat().st_size
    assert small < 10_000
