import pytest

from projects.CVT_IO.cvt_io.fileio.atomic import remove_temporaries, write_atomic


def test_write_replaces_the_whole_file_or_nothing(tmp_path):
    path = tmp_path / 'a.json'
    write_atomic(path, b'old')
    write_atomic(path, b'new')
    assert [p.name for p in tmp_path.iterdir()] == ['a.json'] and path.read_bytes() == b'new'
    with pytest.raises(TypeError):
        write_atomic(path, 'no bytes')
    assert [p.name for p in tmp_path.iterdir()] == ['a.json'] and path.read_bytes() == b'new'


def test_remove_temporaries_takes_only_those_of_the_name(tmp_path):
    for name in ('.a.png.12.tmp', '.b.png.7.tmp', 'a.png', '.hidden', 'a.tmp'):
        (tmp_path / name).touch()
    remove_temporaries(tmp_path, 'b*')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['.a.png.12.tmp', '.hidden', 'a.png', 'a.tmp']
    remove_temporaries(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['.hidden', 'a.png', 'a.tmp']
