"""Files of torch.save, good and forged."""

from __future__ import annotations

import io
import pickle
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio import Inert, read_torch_zip

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {entry.filename.split('/', 1)[1]: archive.read(entry) for entry in archive.infolist()}


def write(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, data in files.items():
            archive.writestr(f'archive/{name}', data)
    return path


@pytest.fixture
def saved(tmp_path) -> Path:
    """A file with one tensor of 2×3 floats."""
    torch.save({'state_dict': {'w': torch.arange(6.0).view(2, 3)}}, tmp_path / 'saved.pt')
    return tmp_path / 'saved.pt'


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
def test_tensors_equal_torch_load(dtype, tmp_path):
    base = (torch.rand(4, 5, generator=torch.Generator().manual_seed(0)) * 9).to(dtype)
    value = OrderedDict(
        whole=base, view=base[1:3, ::2], transposed=base.t(), scalar=base[0, 0], empty=base[:0],
        parameter=torch.nn.Parameter(base.clone(), requires_grad=False),
    )  # fmt: skip
    torch.save(value, tmp_path / 'x.pt')
    found = read_torch_zip(tmp_path / 'x.pt')
    assert list(found) == list(value)
    for key, expected in value.items():
        assert torch.equal(found[key], expected) and found[key].dtype == dtype


def test_views_share_their_storage(tmp_path):
    base = torch.zeros(1000)
    torch.save([base, base[10:]], tmp_path / 'x.pt')
    whole, part = read_torch_zip(tmp_path / 'x.pt')
    whole[10] = 7
    assert part[0] == 7


def test_an_object_beside_the_tensors_is_inert(tmp_path):
    torch.save({'w': torch.ones(2), 'path': Path('a')}, tmp_path / 'x.pt')
    found = read_torch_zip(tmp_path / 'x.pt')
    assert isinstance(found['path'], Inert) and torch.equal(found['w'], torch.ones(2))


def refused(path: Path, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_torch_zip(path)
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path):
    refused(tmp_path / 'none.pt', 'cannot read file: No such file')


@pytest.mark.parametrize('length', [0, 1, 30, 200, -1, -30])
def test_every_truncation_is_refused(saved, length):
    saved.write_bytes(saved.read_bytes()[:length])
    refused(saved, 'expected a zip file of torch.save')


def test_format_before_1_6(tmp_path):
    torch.save({'w': torch.ones(2)}, tmp_path / 'old.pt', _use_new_zipfile_serialization=False)
    refused(tmp_path / 'old.pt', r'PyTorch 1\.6 or later')


def test_damaged_data_fails_its_checksum(saved):
    data = saved.read_bytes()
    place = data.index(torch.arange(6.0).numpy().tobytes())
    saved.write_bytes(data[:place] + b'\1' + data[place + 1 :])
    refused(saved, 'CRC')


def test_zip_without_a_pickle(tmp_path):
    refused(write(tmp_path / 'x.pt', {'version': b'3'}), 'one data.pkl, found 0')


def test_packed_entries_are_refused(saved):
    refused(write(saved, entries(saved), zipfile.ZIP_DEFLATED), 'stored as they are')


def test_big_endian_numbers_are_refused(saved):
    refused(write(saved, entries(saved) | {'byteorder': b'big'}), 'little-endian')


@pytest.mark.parametrize('size', [0, 23, 25, 1000])
def test_storage_of_another_length(saved, size):
    refused(write(saved, entries(saved) | {'data/0': bytes(size)}), f'storage 0 has {size} bytes, expected 6 × 4')


def test_storage_that_is_not_there(saved):
    files = entries(saved)
    del files['data/0']
    refused(write(saved, files), 'data/0')


class _Forged:
    """Pickles as a call of torch's rebuilding function with given arguments."""

    def __init__(self, size: tuple, stride: tuple, offset: int = 0) -> None:
        self.size, self.stride, self.offset = size, stride, offset

    def __reduce__(self):
        storage = _Persistent()
        return torch._utils._rebuild_tensor_v2, (storage, self.offset, self.size, self.stride, False, OrderedDict())


class _Persistent:
    """Stands for the storage 0 of six floats."""


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return ('storage', torch.FloatStorage, '0', 'cpu', 6) if isinstance(obj, _Persistent) else None


@pytest.mark.parametrize(
    ('size', 'stride', 'offset'),
    [
        ((7,), (1,), 0),
        ((10**12,), (0,), 0),  # a terabyte, if anybody copied it
        ((6,), (2,), 0),
        ((6,), (1,), 1),
        ((6,), (1,), -1),
        ((-1,), (1,), 0),
        ((6,), (-1,), 5),
        ((2, 3), (3,), 0),
        (('a',), (1,), 0),
    ],
)
def test_forged_views_are_refused(saved, size, stride, offset):
    stream = io.BytesIO()
    _Pickler(stream, 2).dump(_Forged(size, stride, offset))
    refused(write(saved, entries(saved) | {'data.pkl': stream.getvalue()}), 'unreadable pickle')


def test_the_forgery_without_a_lie_is_read(saved):
    stream = io.BytesIO()
    _Pickler(stream, 2).dump(_Forged((3, 2), (1, 3)))
    found = read_torch_zip(write(saved, entries(saved) | {'data.pkl': stream.getvalue()}))
    assert found.tolist() == [[0, 3], [1, 4], [2, 5]]


class _Rebuilt(_Forged):
    """Gives the tensor a state: torch would take storage and shape from it."""

    def __reduce__(self):
        return *super().__reduce__(), (_Persistent(), 0, (10**9,), (0,))


def test_no_state_makes_a_tensor_larger(saved):
    stream = io.BytesIO()
    _Pickler(stream, 2).dump(_Rebuilt((6,), (1,)))
    found = read_torch_zip(write(saved, entries(saved) | {'data.pkl': stream.getvalue()}))
    assert found.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_nested_shape_is_refused_shortly(saved):
    size = ()
    for _ in range(40):
        size = (size, size)
    stream = io.BytesIO()
    _Pickler(stream, 2).dump(_Forged(size, (1,)))
    with pytest.raises(DataError) as caught:
        read_torch_zip(write(saved, entries(saved) | {'data.pkl': stream.getvalue()}))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize('name', ['archive/data.pkl', 'archive/data/0'])
def test_a_claimed_entry_takes_no_memory(saved, name):
    """The central directory says a gigabyte, of a file of a kilobyte."""
    write(saved, entries(saved))
    data = bytearray(saved.read_bytes())
    place = data.index(name.encode(), data.index(b'PK\1\2')) - 46
    data[place + 20 : place + 28] = (1 << 30).to_bytes(4, 'little') * 2
    saved.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            read_torch_zip(saved)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2e6
