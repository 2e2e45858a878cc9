"""Pickles that PyTorch's own reader of weights would never come to an end with."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict

import pytest
import torch

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio import check_pickles
from projects.CVT_IO.cvt_io.fileio.checkpoint import CheckpointError, read_checkpoint
from tests.fileio.test_torch_zip import entries, write

#: (), ((), ()), … forty deep: 2⁴⁰ parts by a hundred bytes.
DEEP = b')' + b'2\x86' * 40

HOSTILE = [
    pytest.param(b'\x80\x02}' + DEEP + b'Ns.', 'a key made of tuples', id='key'),
    pytest.param(b'\x80\x02' + DEEP + b'NR.', 'a call without a tuple', id='arguments'),
    pytest.param(b'\x80\x02' + DEEP + b')R.', 'not callable', id='function'),
    pytest.param(b'\x80\x02ctorch\n' + b'{"a":' * 3000 + b'\n.', 'expected names of functions', id='name'),
]


@pytest.mark.parametrize(('data', 'message'), HOSTILE)
def test_hostile_pickles_are_refused(data, message):
    with pytest.raises(DataError, match=message) as caught:
        check_pickles(data, 'x.pth')
    assert str(caught.value).startswith('x.pth: ') and len(str(caught.value)) < 300


@pytest.mark.parametrize(('data', 'message'), HOSTILE)
@pytest.mark.parametrize('zipped', [True, False])
def test_and_so_are_the_checkpoints_that_hold_them(tmp_path, data, message, zipped):
    path = tmp_path / 'x.pth'
    torch.save({'w': torch.ones(2)}, path, _use_new_zipfile_serialization=zipped)
    if zipped:
        write(path, entries(path) | {'data.pkl': data})
    else:
        path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_packed_checkpoints_are_refused(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save({'w': torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match='found packed archive/'):
        read_checkpoint(write(path, entries(path), compression=8))


def test_pickles_one_after_the_other():
    stream = io.BytesIO()
    for value in ({'a': 1}, OrderedDict(b=[torch.float32]), (1, 2)):
        pickle.dump(value, stream, 2)
    check_pickles(stream.getvalue(), 'x', count=3)
    with pytest.raises(DataError):
        check_pickles(stream.getvalue(), 'x', count=4)
