"""Catalogues of the tests' own, right and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.zoo.catalogue import Entry, WeightFile, find, published_weights, read_catalogue

SHA256 = '01234567' + '89abcdef' * 7
GOOD = f"""
Collections:
  - Name: C
Models:
  - Name: plain
    Config: configs/plain.py
  - Name: toy_1.0
    In Collection: C
    Config: configs/toy/toy.py
    Weights: projects/CVT_IO/weights/toy_1.0-01234567.pth
    Metadata:
      SHA-256: '{SHA256}'
      Size (bytes): 1234
      Training Data: Toy
    Results:
      - Task: BEV Segmentation
        Dataset: Toy
        Metrics:
          Vehicle IoU@0.50: 0.25
      - Task: BEV Segmentation
        Dataset: Toy, images of other frames
        Metrics:
          Control IoU@0.50: 0.1
"""


@pytest.fixture
def read(tmp_path):
    def read_text(text: str) -> dict[str, Entry]:
        path = tmp_path / 'metafile.yml'
        path.write_text(text)
        return read_catalogue(path)

    return read_text


def test_entries(read):
    weights = WeightFile('projects/CVT_IO/weights/toy_1.0-01234567.pth', SHA256, 1234)
    metrics = {'Vehicle IoU@0.50': 0.25, 'Control IoU@0.50': 0.1}
    assert read(GOOD) == {
        'plain': Entry('plain', 'configs/plain.py', None, {}),
        'toy_1.0': Entry('toy_1.0', 'configs/toy/toy.py', weights, metrics),
    }
    assert weights.name == 'toy_1.0-01234567.pth'


@pytest.mark.parametrize('location', ['https://host/a/b-01234567.pth?x=1', 'file:///a/b-01234567.pth'])
def test_weights_behind_a_url(read, location):
    weights = read(GOOD.replace('projects/CVT_IO/weights/toy_1.0-01234567.pth', location))['toy_1.0'].weights
    assert weights.location == location
    assert weights.name == 'b-01234567.pth'


@pytest.mark.parametrize(
    ('right', 'wrong', 'message'),
    [
        ('Models:', 'Model:', 'a list of models under the key Models, found NoneType'),
        ('Models:', 'Models: 3\nOthers:', 'a list of models under the key Models, found int'),
        ('  - Name: plain', '  - 3\n  - Name: plain', 'model 1: expected keys and values, found int'),
        ('  - Name: plain', '  - Nam: plain', 'model 1: Name: expected a name, found None'),
        ('Name: plain', 'Name: ../plain', r"Name: expected letters, digits, .* found '\.\./plain'"),
        ('Name: plain', 'Name: toy_1.0', 'model toy_1.0: expected a unique name'),
        ('configs/plain.py', '/etc/plain.py', "model plain: Config: expected a path relative to the repository's root"),
        ('configs/plain.py', 'configs/../../plain.py', 'model plain: Config: expected a path relative'),
        ('Config: configs/plain.py', 'Weights: x', 'model plain: Config: expected a path, found None'),
        ('projects/CVT_IO', '/projects/CVT_IO', 'model toy_1.0: Weights: expected a path relative'),
        ('projects/CVT_IO', '../projects/CVT_IO', 'model toy_1.0: Weights: expected a path relative'),
        ('weights/toy_1.0', 'weights/../toy_1.0', 'model toy_1.0: Weights: expected a path relative'),
        ('projects/CVT_IO', 'ftp://host', 'Weights: expected a path or an http, https or file URL'),
        ('projects/CVT_IO', 'http://[::1', 'model toy_1.0: Invalid IPv6 URL'),
        ('weights/toy_1.0-', 'weights/-toy-', "Weights: expected a file name .* found '-toy-01234567.pth'"),
        ('toy_1.0-01234567.pth', '..%2Ftoy;x-01234567.pth', 'Weights: expected a file name'),
        ('toy_1.0-01234567.pth', 'toy_1.0.pth', 'Weights: expected a file name .* ends in -01234567.pth'),
        ('toy_1.0-01234567.pth', 'toy-76543210.pth', 'Weights: expected a file name .* ends in -01234567.pth'),
        (f"'{SHA256}'", '12345', 'SHA-256: expected 64 hexadecimal digits in quotes, found 12345'),
        (f"'{SHA256}'", f"'{SHA256[:-1]}'", 'SHA-256: expected 64 lower-case hexadecimal digits'),
        (f"'{SHA256}'", f"'{SHA256.upper()}'", 'SHA-256: expected 64 lower-case hexadecimal digits'),
        ('      SHA-256:', '      SHA256:', 'SHA-256: expected 64 hexadecimal digits in quotes, found None'),
        ('(bytes): 1234', '(bytes): 1.2 kB', r'Size \(bytes\): expected a number of bytes'),
        ('(bytes): 1234', '(bytes): true', r'Size \(bytes\): expected a number of bytes'),
        ('(bytes): 1234', '(bytes): 0', r'Size \(bytes\): expected a positive number'),
        ('Vehicle IoU@0.50: 0.25', '- 0.25', 'model toy_1.0: Metrics: expected names and numbers'),
        (
            'IoU@0.50: 0.25',
            'IoU@0.50: a quarter',
            "model toy_1.0: Vehicle IoU@0.50: expected a number, found 'a quarter'",
        ),
        ('Models:', 'Models: [', 'metafile.yml: expected YAML, found: '),
    ],
)
def test_a_mistake_is_told_in_one_line(read, right, wrong, message):
    assert right in GOOD
    with pytest.raises(DataError, match=message) as caught:
        read(GOOD.replace(right, wrong, 1))
    assert 'metafile.yml: ' in str(caught.value)
    assert '\n' not in str(caught.value)


def test_no_catalogue(tmp_path):
    with pytest.raises(DataError, match=r'none\.yml: cannot be read: No such file'):
        read_catalogue(Path(tmp_path, 'none.yml'))


def test_find(read):
    catalogue = read(GOOD)
    assert find(catalogue, 'plain').config == 'configs/plain.py'
    with pytest.raises(DataError, match=r'plane: no such model in the zoo; did you mean plain\?'):
        find(catalogue, 'plane')
    with pytest.raises(DataError, match=r'x: no such model in the zoo; expected one of plain, toy_1\.0'):
        find(catalogue, 'x')


def test_published_weights(read):
    catalogue = read(GOOD)
    assert published_weights(catalogue, 'toy_1.0').size == 1234
    with pytest.raises(DataError, match=r'plain: no weights are published; see docs/model_zoo\.md'):
        published_weights(catalogue, 'plain')
