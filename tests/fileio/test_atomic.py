import pytest

from projects.CVT_IO.cvt_io.fileio.atomic import remove_temporaries, write_atomic


def test_write_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / 'a.json'
    write_atomic(path, b'old')
    write_atomic(path, b'new')
    assert [p.name for p in tmp_path.iterdir()] == ['a.json']
    assert path.read_bytes() == b'new'


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / 'a.json'
    write_atomic(path, b'old')
    with pytest.raises(TypeError):
        write_atomic(path, 'no bytes')
    assert [p.name for p in tmp_path.iterdir()] == ['a.json']
    assert path.read_bytes() == b'old'


def test_remove_temporaries_takes_only_those_of_the_name(tmp_path):
    for name in ('.a.png.12.tmp', '.b.png.7.tmp', 'a.png', '.hidden', 'a.tmp'):
        (tmp_path / name).touch()
    remove_temporaries(tmp_path, 'b*')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['.a.png.12.tmp', '.hidden', 'a.png', 'a.tmp']
    remove_temporaries(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['.hidden', 'a.png', 'a.tmp']
