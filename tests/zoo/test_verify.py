"""Files on disk, by their content and by their names."""

from __future__ import annotations

import pytest

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.zoo.catalogue import Entry, WeightFile
from projects.CVT_IO.cvt_io.zoo.verify import identify, is_intact, sha256_of

#: FIPS 180-2, appendix B.1: the SHA-256 of "abc".
ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
WEIGHTS = WeightFile('projects/CVT_IO/weights/toy-ba7816bf.pth', ABC, 3)
CATALOGUE = {'plain': Entry('plain', 'configs/plain.py'), 'toy': Entry('toy', 'configs/toy.py', WEIGHTS)}


@pytest.fixture
def file(tmp_path):
    def write(name: str, content: bytes):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def test_sha256(file):
    assert sha256_of(file('x', b'abc')) == ABC


def test_intact(file, tmp_path):
    assert is_intact(file('a', b'abc'), WEIGHTS)
    assert not is_intact(file('b', b'abd'), WEIGHTS)
    assert not is_intact(file('c', b'abc '), WEIGHTS)
    assert not is_intact(tmp_path / 'd', WEIGHTS)
    assert not is_intact(tmp_path, WEIGHTS)


@pytest.mark.parametrize('name', ['toy-ba7816bf.pth', 'renamed.pth', 'other-00000000.pth'])
def test_a_file_of_the_zoo_under_any_name(file, name):
    path = file(name, b'abc')
    assert identify(path, CATALOGUE) == f"{path}: the zoo's toy (SHA-256 {ABC})"


@pytest.mark.parametrize('name', ['mine-ba7816bf.pth', 'cvt_io_v2_depth-ba7816bf.pth'])
def test_a_file_that_is_what_its_name_says(file, name):
    sentence = identify(file(name, b'abc'), {})
    assert 'not in the zoo; the content matches the digits in the name' in sentence and ABC in sentence


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('toy-ba7816bf.pth', f"not the zoo's toy: expected SHA-256 {ABC} and 3 bytes, found [0-9a-f]+ and 3"),
        ('mine-ba7816bf.pth', 'expected a SHA-256 that begins with ba7816bf, as its name says, found a52d159f'),
        ('mine-ba7816bf.pth.part', 'no digits in the name to compare with; its SHA-256 is a52d159f'),
        ('mine-ba7816bfa.pth', 'no digits in the name'),
        ('mine-BA7816BF.pth', 'no digits in the name'),
        ('cvt_io_v2_depth.pth', 'no digits in the name'),
        (None, r'x\.pth: no such file'),
    ],
)
def test_a_file_that_is_not(file, tmp_path, name, message):
    path = file(name, b'abd') if name else tmp_path / 'x.pth'
    with pytest.raises(DataError, match=message):
        identify(path, CATALOGUE)
