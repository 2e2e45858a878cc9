import json
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, PngImagePlugin

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.codec import StoredLabel, decode_label, decode_stored, encode_label, read_label

GRID = BEVGrid((3, 4), (6, 8))


def small_label() -> StoredLabel:
    bits = np.zeros((3, 4), np.uint16)
    bits[0, 0], bits[2, 3] = 0b1, 0b1000_0001_0000
    instances = np.zeros((3, 4), np.uint16)
    instances[1, 1], instances[1, 2], instances[2, 3] = 1, 1, 2
    return StoredLabel(bits, instances, [(1.5, 1.0, 3), (3.0, 0.25, 1)], GRID, 'digest')


def png(planes: np.ndarray, text: str | None) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    if text is not None:
        chunks.add_text('cvt_io', text)
    file = BytesIO()
    Image.fromarray(planes).save(file, 'PNG', pnginfo=chunks)
    return file.getvalue()


def text_of(**changes) -> str:
    return json.dumps({'format': 1, 'grid': GRID.to_dict(), 'source': '', 'vehicles': [], **changes})


def test_decoded_maps_by_hand():
    label = decode_label(encode_label(small_label()), GRID)
    classes = np.zeros((12, 3, 4), np.uint8)
    classes[0, 0, 0] = classes[4, 2, 3] = classes[11, 2, 3] = 1
    np.testing.assert_array_equal(label.classes, classes)
    np.testing.assert_array_equal(
        label.visibility, np.array([[255, 255, 255, 255], [255, 3, 3, 255], [255, 255, 255, 1]])
    )
    # Vehicle 1 is centred at column 1.5, row 1: both its cells are 0.5 off. Vehicle 2: column 3, row 0.25, 1.75 off.
    center = np.zeros((3, 4))
    center[1, 1] = center[1, 2] = np.exp(-0.25)
    center[2, 3] = np.exp(-(1.75**2))
    np.testing.assert_allclose(label.center, center, rtol=1e-7)
    assert (label.classes.dtype, label.visibility.dtype, label.center.dtype) == (np.uint8, np.uint8, np.float32)
    assert label.grid == decode_label(encode_label(small_label())).grid == GRID  # asked for or not


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_round_trip_is_exact(data):
    size = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    grid = BEVGrid(size, (10.5, 0.1), 0.25)
    number = st.floats(-1e6, 1e6)
    vehicles = data.draw(st.lists(st.tuples(number, number, st.integers(1, 4)), max_size=5))
    bits = data.draw(arrays.arrays(np.uint16, size, elements=st.integers(0, 4095)))
    instances = data.draw(arrays.arrays(np.uint16, size, elements=st.integers(0, len(vehicles))))
    label = StoredLabel(bits, instances, vehicles, grid, 'x')
    encoded = encode_label(label)
    decoded = decode_stored(encoded, grid)
    np.testing.assert_array_equal(decoded.class_bits, bits)
    np.testing.assert_array_equal(decoded.instances, instances)
    assert decoded.vehicles == vehicles
    assert (decoded.grid, decoded.source) == (grid, 'x')
    assert encode_label(decoded) == encoded


@pytest.mark.parametrize('other', [BEVGrid((3, 4), (6, 9)), BEVGrid((4, 3), (6, 8)), BEVGrid((3, 4), (6, 8), 0.1)])
def test_other_grid_names_both(other):
    with pytest.raises(DataError, match=r'a\.png: expected a label on the grid .*, found .*size=\(3, 4\)') as info:
        decode_label(encode_label(small_label()), other, 'a.png')
    assert str(other) in str(info.value)


def test_every_truncation_and_every_flipped_bit_is_noticed():
    data = encode_label(small_label())
    end = len(data) - 12  # All but the end marker, which holds nothing, must be there.
    for length in range(end):
        with pytest.raises(DataError, match=r'a\.png: '):
            decode_label(data[:length], GRID, 'a.png')
    for i in range(end):
        damaged = bytearray(data)
        damaged[i] ^= 1 << i % 8
        with pytest.raises(DataError, match=r'a\.png: '):
            decode_label(bytes(damaged), GRID, 'a.png')


PLANES = np.zeros((6, 4), np.uint16)


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'GIF89', "expected a PNG file, found 5 bytes that start with b'GIF89'"),
        (png(PLANES, None), "expected a PNG with the text chunk 'cvt_io'"),
        (png(PLANES.astype(np.uint8), text_of()), 'expected a 16-bit grayscale PNG, found mode L'),
        (png(PLANES + np.uint16(4096), text_of()), 'expected class bits 0–11, found the value 0x1000'),
        (png(PLANES + np.uint16(1), text_of()), 'expected at most 0 vehicles, found number 1'),
        (png(PLANES[:3], text_of()), 'expected a PNG of 6×4 cells, found 3×4'),
        (png(PLANES, text_of(format=2)), 'expected label format 1, found 2'),
        (png(PLANES, text_of(grid={'size': [0, 1]})), "unreadable text chunk 'cvt_io'.*BEV grid"),
        (png(PLANES, text_of(grid={'size': [1, float('inf')]})), "unreadable text chunk 'cvt_io'.*BEV grid"),
        (png(PLANES, text_of(vehicles=[[float('nan'), 2, 1]])), 'expected a finite vehicle centre .* found .nan'),
        (png(PLANES, text_of(vehicles=[[1, 2, 5]])), r'expected .* visibility 1–4, found \(1.0, 2.0, 5\)'),
        (png(PLANES, '[' * 100_000), "unreadable text chunk 'cvt_io': Recursion"),
        (png(PLANES, text_of(vehicles=[[1, 2]])), "unreadable text chunk 'cvt_io'"),
        (png(PLANES, '{}'), "unreadable text chunk 'cvt_io'.*format"),
        (png(PLANES, '[1'), "unreadable text chunk 'cvt_io'"),
        (png(PLANES, '[1]'), "unreadable text chunk 'cvt_io'"),
    ],
)
def test_foreign_files(data, message):
    with pytest.raises(DataError, match=r'^a\.png: ' + message):
        decode_label(data, None, 'a.png')


def test_read_label(tmp_path):
    path = tmp_path / 'a.png'
    with pytest.raises(DataError, match=r'a\.png: cannot read label file: No such file'):
        read_label(path)
    path.write_bytes(encode_label(small_label()))
    np.testing.assert_array_equal(read_label(path, GRID).visibility, decode_label(path.read_bytes()).visibility)
