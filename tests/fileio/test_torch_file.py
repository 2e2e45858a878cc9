"""Files of torch.save, good and forged."""

from __future__ import annotations

import io
import pickle
import tracemalloc
import zipfile
from collections import OrderedDict
from functools import reduce
from pathlib import Path

import pytest
import torch

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio.restricted_pickle import Inert
from projects.CVT_IO.cvt_io.fileio.torch_file import read_torch_file

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


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('dtype', DTYPES, ids=str)
def test_tensors_equal_torch_load(dtype, zipped, tmp_path):
    base = (torch.rand(4, 5, generator=torch.Generator().manual_seed(0)) * 9).to(dtype)
    value = OrderedDict(
        whole=base, view=base[1:3, ::2], transposed=base.t(), scalar=base[0, 0], empty=base[:0],
        parameter=torch.nn.Parameter(base.clone(), requires_grad=False),
    )  # fmt: skip
    torch.save(value, tmp_path / 'x.pt', _use_new_zipfile_serialization=zipped)
    found = read_torch_file(tmp_path / 'x.pt')
    assert list(found) == list(value)
    for key, expected in value.items():
        assert torch.equal(found[key], expected) and found[key].dtype == dtype


@pytest.mark.parametrize('zipped', [True, False])
def test_views_share_their_storage(tmp_path, zipped):
    base = torch.zeros(1000)
    torch.save([base, base[10:]], tmp_path / 'x.pt', _use_new_zipfile_serialization=zipped)
    whole, part = read_torch_file(tmp_path / 'x.pt')
    whole[10] = 7
    assert part[0] == 7


def test_an_object_beside_the_tensors(tmp_path):
    torch.save({'w': torch.ones(2), 'path': Path('a')}, tmp_path / 'x.pt')
    refused(tmp_path / 'x.pt', r'found a Python object \(pathlib\.\w+\), which is not loaded')
    found = read_torch_file(tmp_path / 'x.pt', strict=False)
    assert isinstance(found['path'], Inert) and torch.equal(found['w'], torch.ones(2))


def refused(path: Path, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_torch_file(path)
    assert str(caught.value).startswith(f'{path}: ') and len(str(caught.value)) < 300 + len(str(path))


def test_missing_file(tmp_path):
    refused(tmp_path / 'none.pt', 'No such file')


#: (), ((), ()), … forty deep: 2⁴⁰ parts in a hundred bytes.
DEEP = b')' + b'2\x86' * 40


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        pytest.param(b'\x80\x02}' + DEEP + b'Ns.', 'a key made of tuples', id='key'),
        pytest.param(b'\x80\x02' + DEEP + b'NR.', 'a call without a tuple', id='arguments'),
        pytest.param(b'\x80\x02' + DEEP + b')R.', 'not callable', id='function'),
        pytest.param(b'\x80\x02' + DEEP + b'Q.', 'unreadable pickle', id='persistent id'),
        pytest.param(b'\x80\x02ctorch\n' + b'{"a":' * 3000 + b'\n.', 'found a Python object', id='name'),
    ],
)
@pytest.mark.parametrize('zipped', [True, False])
def test_pickles_that_torch_load_never_ends_with(saved, data, message, zipped):
    """It runs nothing either, but hashes and prints what it is given, and searches names for patterns."""
    write(saved, entries(saved) | {'data.pkl': data}) if zipped else saved.write_bytes(legacy(data))
    refused(saved, message)


LITTLE_ENDIAN = pickle.dumps({'little_endian': True}, 2)


def legacy(content: bytes, keys: bytes = b'\x80\x02].', data: bytes = b'', machine: bytes = LITTLE_ENDIAN) -> bytes:
    """A file in the format before PyTorch 1.6."""
    return pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + machine + content + keys + data


STORAGE = b'\x80\x02(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0aX\3\0\0\0cpuK\2Nt'  # 'a', of two floats
KEYS, COUNT, TWO = b'\x80\x02]X\1\0\0\0aa.', (2).to_bytes(8, 'little'), torch.tensor([1.0, 2.0]).numpy().tobytes()


def test_legacy_by_hand(tmp_path):
    (tmp_path / 'x.pt').write_bytes(legacy(STORAGE + b'Q.', KEYS, COUNT + TWO))
    assert read_torch_file(tmp_path / 'x.pt').tolist() == [1, 2]


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (legacy(STORAGE + b'Q.', KEYS, COUNT + TWO, pickle.dumps({'little_endian': False}, 2)), 'little-endian'),
        (legacy(STORAGE + b'Q.', KEYS, COUNT + TWO, pickle.dumps([], 2)), 'little-endian'),
        (legacy(STORAGE + b'Q.', KEYS, COUNT + TWO[:-1]), 'storage a has 7 bytes, expected 2 × 4'),
        (legacy(STORAGE + b'Q.', KEYS, b'\3' + COUNT[1:] + TWO), 'storage a has 3 numbers, expected 2'),
        (legacy(STORAGE + b'Q.', KEYS, b'\2'), 'unpack requires'),
        (legacy(STORAGE + b'Q.', KEYS), 'unpack requires'),
        (legacy(STORAGE + b'Q.'), 'storages differ'),
        (legacy(STORAGE + b'Q.', KEYS.replace(b'aa.', b'ba.'), COUNT + TWO), 'storages differ'),
        (legacy(STORAGE + b'Q.', b'\x80\x02]' + DEEP + b'a.', COUNT + TWO), 'storages differ'),
        (legacy(STORAGE + b'Q.', b'\x80\x02N.', COUNT + TWO), 'storages differ'),
        (legacy(STORAGE.replace(b'K\2', b'J\0\0\0\x40') + b'Q.', KEYS), 'storages larger than the file'),
        (legacy(STORAGE.replace(b'K\2', b'J\xff\xff\xff\xff') + b'Q.', KEYS), 'a storage without a name and a length'),
        (legacy(STORAGE.replace(b'Nt', b'K\1t') + b'Q.', KEYS), 'unknown persistent id'),
        (legacy(b'\x80\x02(' + STORAGE[2:] + b'QNNNNtQ.', KEYS), 'unknown persistent id Tensor'),
        (pickle.dumps({'w': 1}), 'not a file of torch.save'),
    ],
)
def test_broken_legacy_files_are_refused(tmp_path, content, words):
    (tmp_path / 'x.pt').write_bytes(content)
    refused(tmp_path / 'x.pt', words)


@pytest.mark.parametrize('length', [0, 1, 30, 200, -1, -30])
def test_every_truncation_is_refused(saved, length):
    saved.write_bytes(saved.read_bytes()[:length])
    refused(saved, 'truncated, damaged or not a file of torch.save')


def test_damaged_data_fails_its_checksum(saved):
    data = saved.read_bytes()
    place = data.index(torch.arange(6.0).numpy().tobytes())
    saved.write_bytes(data[:place] + b'\1' + data[place + 1 :])
    refused(saved, 'CRC')


@pytest.mark.parametrize(
    ('name', 'data', 'words'),
    [
        ('data.pkl', None, 'one data.pkl, found 0'),
        ('byteorder', b'big', 'little-endian'),
        ('data/0', None, 'data/0'),
        *(('data/0', bytes(size), f'storage 0 has {size} bytes, expected 6 × 4') for size in (0, 23, 25, 1000)),
    ],
)
def test_a_wrong_or_missing_entry_is_refused(saved, name, data, words):
    files = entries(saved) | {name: data}
    refused(write(saved, {key: value for key, value in files.items() if value is not None}), words)


def test_packed_entries_are_refused(saved):
    refused(write(saved, entries(saved), zipfile.ZIP_DEFLATED), 'stored as they are')


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


def forge(path: Path, forged: _Forged) -> Path:
    stream = io.BytesIO()
    _Pickler(stream, 2).dump(forged)
    return write(path, entries(path) | {'data.pkl': stream.getvalue()})


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
        (reduce(lambda size, _: (size, size), range(40), ()), (1,), 0),
    ],
)
def test_forged_views_are_refused(saved, size, stride, offset):
    refused(forge(saved, _Forged(size, stride, offset)), 'unreadable pickle')


class _Rebuilt(_Forged):
    """Gives the tensor a state: torch would take storage and shape from it."""

    def __reduce__(self):
        return *super().__reduce__(), (_Persistent(), 0, (10**9,), (0,))


@pytest.mark.parametrize(
    ('forged', 'expected'),
    [(_Forged((3, 2), (1, 3)), [[0, 3], [1, 4], [2, 5]]), (_Rebuilt((6,), (1,)), [0, 1, 2, 3, 4, 5])],
)
def test_a_forgery_without_a_lie_is_read_and_no_state_makes_it_larger(saved, forged, expected):
    assert read_torch_file(forge(saved, forged)).tolist() == expected


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
            read_torch_file(saved)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2e6
