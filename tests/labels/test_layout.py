import pytest

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.layout import check_label_grid, grid_json, infos_path, label_dir, labels_root

WIDE = BEVGrid((400, 200), (100, 50))


def finish(root, tag, grid):
    folder = label_dir(root, tag, grid)
    folder.mkdir(parents=True)
    (folder / 'grid.json').write_text(grid_json(grid))
    return folder


def test_paths(tmp_path):
    assert infos_path('a', 'tag', 'val').as_posix() == 'a/tag_infos_val.json'
    assert label_dir('a', 'tag', BEVGrid()).as_posix() == 'a/tag_labels/200x200_100x100m'


def test_missing_grid_names_the_others_and_the_command(tmp_path):
    finish(tmp_path, 'tag', WIDE)
    finish(tmp_path, 'tag', BEVGrid((50, 50)))
    with pytest.raises(DataError) as info:
        check_label_grid(labels_root(tmp_path, 'tag'), BEVGrid((80, 60), (40, 30.5), 0.1))
    message = str(info.value)
    assert 'no labels of grid 80x60_40x30.5m_offset0.1' in message
    assert '(grids found: 400x200_100x50m, 50x50_100x100m)' in message
    assert f'python tools/create_data.py nuscenes --root-path {tmp_path} --version VERSION' in message
    assert '--bev-size 80 60 --bev-metres 40 30.5 --bev-offset 0.1 --extra-tag tag' in message
    assert '\n' not in message


def test_default_tag_and_no_grid_at_all(tmp_path):
    with pytest.raises(DataError, match='grids found: none') as info:
        check_label_grid(labels_root(tmp_path, 'cvt_io'), BEVGrid())
    assert '--extra-tag' not in str(info.value)
    assert '--bev-offset' not in str(info.value)


def test_finished_unfinished_and_other_format(tmp_path):
    root, folder = labels_root(tmp_path, 'tag'), finish(tmp_path, 'tag', WIDE)
    assert check_label_grid(root, WIDE) == folder
    (folder / 'grid.json').write_text('{"format": 0}')
    with pytest.raises(DataError, match=r'grid\.json: expected .*found'):
        check_label_grid(root, WIDE)
    (folder / 'grid.json').unlink()
    with pytest.raises(DataError, match='unfinished labels of grid 400x200_100x50m'):
        check_label_grid(root, WIDE)
