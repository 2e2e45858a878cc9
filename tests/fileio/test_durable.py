"""Checkpoint files on disks that are full, and their removal."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.fileio.durable import CVTIODurableBackend, SaveError, disk_errors


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system refuses to let a file grow beyond so many bytes."""
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mount = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder], capture_output=True)
    if mount.returncode:
        pytest.skip('no right to mount a file system')
    yield folder
    subprocess.run(['umount', folder], check=True)


def test_full_disk_leaves_what_was_there(small_disk):
    path = small_disk / 'iter_2.pth'
    CVTIODurableBackend().put(b'good', path)
    with pytest.raises(SaveError) as error:
        CVTIODurableBackend().put(bytes(2**20), path)
    assert str(error.value).startswith(f'{path}: cannot save 1.0 MiB: No space left on device (0.2 MiB free in ')
    assert path.read_bytes() == b'good' and [*small_disk.iterdir()] == [path]


def test_write_that_the_system_refuses_leaves_what_was_there(tmp_path):
    path = tmp_path / 'iter_2.pth'
    CVTIODurableBackend().put(b'good', path)
    with largest_file(1000), pytest.raises(SaveError, match=r'iter_2\.pth: cannot save 0\.1 MiB: File too large \('):
        CVTIODurableBackend().put(bytes(100_000), path)
    assert path.read_bytes() == b'good' and [*tmp_path.iterdir()] == [path]


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(SaveError, match=r'file/iter_2\.pth: cannot save 0\.0 MiB: (Not a directory|File exists)'):
        CVTIODurableBackend().put(b'', tmp_path / 'file' / 'iter_2.pth')


def test_disk_errors_of_other_files(tmp_path):
    told = f'{tmp_path}: cannot write: File too large'
    with largest_file(10), pytest.raises(SaveError, match=told), disk_errors(tmp_path):
        (tmp_path / 'log.json').write_text('a row of more than ten bytes')
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        (tmp_path / 'none').read_text()


def test_files_go_later_and_only_in_the_folder(tmp_path):
    (tmp_path / 'run').mkdir()
    for name in ('run/old.pth', 'run/new.pth', 'other.pth'):
        (tmp_path / name).touch()
    backend = CVTIODurableBackend()
    backend.remove(tmp_path / 'run/old.pth')
    backend.remove('../other.pth')
    assert (tmp_path / 'run/old.pth').exists()
    backend.remove_outdated(tmp_path / 'run')
    assert sorted(path.name for path in tmp_path.rglob('*.pth')) == ['new.pth', 'other.pth']
    assert backend.outdated == []
