import json

import numpy as np
import pytest
import shapely
from nuscenes.map_expansion.map_api import NuScenesMap

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.geometry import BEVGrid, flat_pose
from projects.CVT_IO.cvt_io.labels.nuscenes import map_layers
from projects.CVT_IO.cvt_io.labels.nuscenes.map_layers import MapLayers

from .nuscenes_tree import MapBuilder, random_map

# One cell a metre; the ego at (5, 5); column = 5 − y, row = 5 − x.
GRID = BEVGrid((10, 10), (10, 10))
WIDE = BEVGrid((400, 400), (400, 400))


def load(builder: MapBuilder, tmp_path) -> MapLayers:
    path = tmp_path / 'map.json'
    path.write_text(json.dumps(builder.content))
    return MapLayers.from_file(path)


def plane(layers: MapLayers, index: int, grid: BEVGrid = GRID, x: float = 0, y: float = 0) -> np.ndarray:
    pose = np.eye(4)
    pose[:2, 3] = x, y
    return layers.draw(pose, grid) >> index & 1


def rectangle(x0, x1, y0, y1):
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


@pytest.mark.parametrize(('layer', 'index'), [('lane', 0), ('road_segment', 1)])
def test_hole_cuts_earlier_polygons_but_not_later_ones(tmp_path, layer, index):
    builder = MapBuilder()
    builder.polygon(layer, rectangle(-4, 0, -4, 4))
    builder.polygon(layer, rectangle(-4, 4, -4, 4), [rectangle(-2, 2, -2, 2), []])
    builder.polygon(layer, rectangle(1, 2, 0, 0.2))
    found = plane(load(builder, tmp_path), index)
    # x −4…4 is rows 1…9 and y likewise columns 1…9; the hole, rows and columns 3…7 with its border, is cut from both;
    # the last polygon fills rows 3, 4 of column 5 again.
    expected = np.zeros((10, 10), int)
    expected[1:10, 1:10] = 1
    expected[3:8, 3:8] = 0
    expected[3:5, 5] = 1
    np.testing.assert_array_equal(found, expected)
    assert not plane(load(builder, tmp_path), 1 - index).any()


@pytest.mark.parametrize(('layer', 'index'), [('road_divider', 2), ('lane_divider', 3)])
def test_lines_are_one_cell_wide_and_open(tmp_path, layer, index):
    builder = MapBuilder()
    builder.line(layer, [(4, 4), (4, -2), (-3, -2)])
    expected = np.zeros((10, 10), int)
    expected[1, 1:8] = 1  # x = 4 is row 1; y 4…−2 is columns 1…7.
    expected[1:9, 7] = 1  # Then down to x = −3, row 8; no way back to the start.
    np.testing.assert_array_equal(plane(load(builder, tmp_path), index), expected)


def test_line_without_a_node_strictly_inside_is_left_out(tmp_path):
    builder = MapBuilder()
    builder.line('road_divider', [(-200, 0), (200, 0)])  # Crosses.
    builder.line('road_divider', [(150, 2), (-150, 2)])  # Its nodes lie on the border.
    builder.line('road_divider', [(149.9, 4), (-900, 4)])  # One node inside: drawn whole, beyond the square too.
    builder.line('road_divider', [])
    builder.line('road_divider', [(0, -4)])
    layers = load(builder, tmp_path)
    found = plane(layers, 2)
    assert np.unique(np.nonzero(found)[1]).tolist() == [1]  # y = 4.
    assert plane(layers, 2, WIDE)[:, 196].sum() == 400 - 50  # From row 200 − 150 to the last one.


def test_polygons_count_when_they_truly_intersect_the_square(tmp_path):
    builder = MapBuilder()
    # Their bounding boxes reach into the square (x, y < 150), the first triangle itself does not: its long side runs
    # along x + y = 310. The second's runs along x + y = 290.
    builder.polygon('lane', [(310, 0), (310, 310), (0, 310)])
    builder.polygon('road_segment', [(290, 0), (290, 290), (0, 290)])
    builder.polygon('road_segment', rectangle(150, 160, -10, 10))  # Touches the border only: it intersects.
    layers = load(builder, tmp_path)
    assert not plane(layers, 0, WIDE).any()
    found = plane(layers, 1, WIDE)
    assert found[200 - 145, 200 - 146]  # (145, 146) is in the second triangle.
    assert found[200 - 155, 200]  # (155, 0).


def test_nothing_nearby_and_no_layers_at_all(tmp_path):
    builder = MapBuilder()
    assert not load(builder, tmp_path).draw(np.eye(4), GRID).any()
    builder.polygon('lane', rectangle(0, 10, 0, 10))
    builder.line('lane_divider', rectangle(0, 10, 0, 10))
    pose = np.eye(4)
    pose[0, 3] = 1000
    assert not load(builder, tmp_path).draw(pose, GRID).any()


@pytest.mark.parametrize('seed', [1, 2])
def test_records_near_equal_the_devkits(tmp_path, seed):
    rng = np.random.default_rng(seed)
    folder = tmp_path / 'maps/expansion'
    folder.mkdir(parents=True)
    path = folder / 'boston-seaport.json'
    path.write_text(json.dumps(random_map(rng, np.array([500, 500]))))
    layers, devkit = MapLayers.from_file(path), NuScenesMap(str(tmp_path), 'boston-seaport')
    seen = 0
    for x, y in rng.uniform(200, 800, (30, 2)):
        corners = np.array([x - 150, y - 150]), np.array([x + 150, y + 150])
        square = shapely.box(*corners[0], *corners[1])
        names = ['lane', 'road_segment', 'road_divider', 'lane_divider']
        records = devkit.get_records_in_patch((*corners[0], *corners[1]), names, 'intersect')
        for name in names[:2]:
            expected = [devkit.extract_polygon(devkit.get(name, t)['polygon_token']) for t in records[name]]
            found = layers.polygons[name].near(square, square)
            rings = [[list(ring.coords) for ring in (p.exterior, *p.interiors)] for p in expected]
            assert [[list(map(tuple, ring)) for ring in polygon] for polygon in found] == rings
        for name in names[2:]:
            expected = [devkit.extract_line(devkit.get(name, t)['line_token']) for t in records[name]]
            found = layers.lines[name].near(*corners, square)
            assert [p.tolist() for p in found] == [list(map(list, line.coords)) for line in expected]
        seen += sum(map(len, records.values()))
    assert seen > 500


@pytest.mark.parametrize('grid', [GRID, BEVGrid((31, 33), (30, 60), 0.25), BEVGrid((70, 90), (350, 330))])
def test_nothing_seen_is_left_out(tmp_path, monkeypatch, grid):
    """What is drawn does not change if everything within the square is looked at, and not only what the grid shows."""
    path = tmp_path / 'map.json'
    path.write_text(json.dumps(random_map(np.random.default_rng(3), np.array([500, 500]))))
    layers, rng = MapLayers.from_file(path), np.random.default_rng(4)
    poses = [flat_pose([np.cos(a), 0, 0, np.sin(a)], [*rng.uniform(400, 600, 2), 0]) for a in rng.uniform(0, np.pi, 40)]
    found = [layers.draw(pose, grid) for pose in poses]
    everywhere = np.full(2, -1e9), np.full(2, 1e9)
    monkeypatch.setattr(map_layers, 'covered_area', lambda *_: everywhere)
    for pose, bits in zip(poses, found, strict=True):
        np.testing.assert_array_equal(layers.draw(pose, grid), bits)
    assert np.bitwise_or.reduce(found, axis=None) == 0b1111


@pytest.mark.parametrize('y', [5.5, -4.5])
def test_the_outermost_cells_are_within_the_area(tmp_path, y):
    # Column 5 − y: −0.5 and 9.5 are rounded half to even, to 0, which is drawn, and to 10, which is not.
    builder = MapBuilder()
    builder.line('road_divider', [(-2, y), (2, y)])
    builder.polygon('lane', rectangle(-2, 2, y, y))
    found = load(builder, tmp_path).draw(np.eye(4), GRID)
    assert np.argwhere(found).tolist() == ([[row, 0] for row in range(3, 8)] if y > 0 else [])
    assert set(np.unique(found)) <= {0, 0b101}


def test_holes_of_one_polygon_are_cut_together(tmp_path):
    # As one call of fillPoly: where holes of a broken map overlap, OpenCV's even-odd rule leaves the overlap filled.
    builder = MapBuilder()
    builder.polygon('lane', rectangle(-5, 4, -4, 5), [rectangle(-4, 1, -3, 4), rectangle(-2, 3, -3, 4)])
    # The exterior is rows 1…9, columns 0…9; the holes are rows 4…9 and 2…7, columns 1…8; borders are always cut.
    expected = np.zeros((10, 10), int)
    expected[1:, :] = 1
    expected[2:, 1:9] = 0
    expected[5:7, 2:8] = 1
    np.testing.assert_array_equal(plane(load(builder, tmp_path), 0), expected)


def broken(change):
    builder = MapBuilder()
    builder.polygon('lane', rectangle(0, 1, 0, 1), [rectangle(0.2, 0.3, 0.2, 0.3)])
    builder.line('road_divider', [(0, 0), (1, 1)])
    change(builder.content)
    return builder


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c.pop('polygon'), "no layer 'polygon'"),
        (lambda c: c.update(lane={}), "layer 'lane' to be a list of records, found dict"),
        (lambda c: c['lane'][0].pop('polygon_token'), "layer 'lane': record 'lane-0' has no key 'polygon_token'"),
        (lambda c: c['lane'][0].update(polygon_token='x'), "layer 'polygon' has no token 'x'"),
        (lambda c: c['line'][0].update(node_tokens=['y', 'y']), "layer 'node' has no token 'y'"),
        (lambda c: c['node'][0].pop('x'), "layer 'node': record 'node-0' has no key 'x'"),
        (lambda c: c['node'][0].update(x='far'), "expected x and y of nodes .*'node-0'.* to be numbers, got .*far"),
        (lambda c: c['polygon'][0]['holes'][0].clear(), "holes of polygon 'polygon-0': .*no key 'node_tokens'"),
        (lambda c: c['polygon'][0].update(exterior_node_tokens=['node-0', 'node-1']), "invalid polygon 'polygon-0'"),
    ],
)
def test_broken_maps(tmp_path, change, message):
    with pytest.raises(DataError, match=r'map\.json: .*' + message):
        load(broken(change), tmp_path)


@pytest.mark.parametrize('version', ['1.2', '1.0', None])
def test_older_maps_and_missing_layers(tmp_path, version):
    """Their lanes and roads are those of version 1.3; a layer that is not there is not drawn."""
    whole, old = (load(broken(lambda c: None), tmp_path), broken(lambda c: c.pop('lane_divider')))
    old.content['version'] = version
    if version is None:
        del old.content['version']
    old = load(old, tmp_path)
    assert (whole.missing, old.missing) == ([], ['lane_divider'])
    np.testing.assert_array_equal(old.draw(np.eye(4), GRID), whole.draw(np.eye(4), GRID))


@pytest.mark.parametrize('content', ['[1]', '3', 'null', '{"version": "1.3"}'])
def test_no_map(tmp_path, content):
    (tmp_path / 'map.json').write_text(content)
    with pytest.raises(DataError, match=r'map\.json: expected a map expansion with the layers lane, .* found none'):
        MapLayers.from_file(tmp_path / 'map.json')
