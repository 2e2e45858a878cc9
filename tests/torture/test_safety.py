"""Hostile files: nothing that reads one runs, writes or connects to anything, and it ends with the project's errors."""

from __future__ import annotations

import contextlib
import pickle
import socket
import sys
from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio.checks import image_path
from projects.CVT_IO.cvt_io.visualization.scene import frame_name
from tests.audit import is_network, watch
from tests.safety import payloads
from tests.safety.payloads import ESCAPES, PROTOCOLS, TAGS, URLS, Gadgets
from tests.torture.readers import READERS, fault_of, quiet

#: Containers of a pickle by the suffix of the file, which some readers check.
CONTAINERS = {
    '.pkl': lambda path, data: path.write_bytes(data),
    '.pth': lambda path, data: path.write_bytes(payloads.legacy(data)),
    '.zip': payloads.zipped,
}
ARCHIVES = ('checkpoint', 'pre-trained weights', 'original checkpoint')


@pytest.fixture
def folders(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A folder for files, and the one that payloads make."""
    monkeypatch.syspath_prepend(tmp_path)
    payloads.write_canary(tmp_path, tmp_path / 'victim')
    (tmp_path / 'files').mkdir()
    warm_up = payloads.zipped(tmp_path / 'files/x.zip', tensor_in('0'), {'x/data/0': bytes(4)})
    for reader in READERS.values():  # imports what is needed
        with contextlib.suppress(Exception):
            reader(warm_up)
    return tmp_path / 'files', tmp_path / 'victim'


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('full', [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize('name', READERS)
def test_pickles_run_nothing(folders, name, full):
    """Each payload in each container; at full length in each protocol and place."""
    files, victim = folders
    with quiet():
        for protocol in PROTOCOLS if full else (0, 2, 4):
            gadgets = Gadgets(victim, protocol)
            for number, (what, value) in enumerate(gadgets):
                places = [*payloads.placements(value, gadgets)]
                for where, data in places if full else [places[number % len(places)]]:
                    for suffix, write in CONTAINERS.items():
                        path = files / f'x{suffix}'
                        write(path, data)
                        assert fault_of(READERS[name], path, victim) is None, (what, where, protocol, suffix)


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_payloads_are_live(folders, protocol):
    """Python's own unpickler makes the folder of each, in each place."""
    victim = folders[1]
    gadgets = Gadgets(victim, protocol)
    for what, value in gadgets:
        for where, data in payloads.placements(value, gadgets):
            sys.modules.pop(payloads.CANARY, None)
            with contextlib.suppress(Exception):  # some raise once they have run
                pickle.loads(data)  # noqa: S301 - must be noticed
            assert victim.is_dir(), (what, where)
            victim.rmdir()


def test_payload_that_runs_is_found(folders):
    files, victim = folders
    (_, value), *_ = gadgets = Gadgets(victim, 4)
    (files / 'x').write_bytes(dict(payloads.placements(value, gadgets))['alone'])
    found = fault_of(lambda path: pickle.loads(path.read_bytes()), files / 'x', victim)  # noqa: S301 - must be noticed
    assert found == 'the payload has run' and not victim.exists()


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', ARCHIVES)
@pytest.mark.parametrize('escape', ESCAPES)
def test_archives_are_not_unpacked(folders, name, escape):
    """Entries and links whose names lead elsewhere."""
    files, victim = folders
    empty = b'\x80\x02}.'
    paths = [
        payloads.zipped(files / f'{i}{j}.zip', data, others)
        for i, others in enumerate(({escape: b'x'}, {f'x/data/{escape}': bytes(4)}, {f'x/{escape}/data.pkl': empty}))
        for j, data in enumerate((empty, tensor_in(escape)))
    ]
    links = {'x/data.pkl': escape, 'x/data/0': escape, 'link': escape}
    for path in [*paths, payloads.write_zip(files / 'links.zip', {}, links)]:
        assert fault_of(READERS[name], path, victim) is None, path.name


@pytest.mark.parametrize('tag', TAGS)
@pytest.mark.parametrize(
    'text', ['{}', 'Models: {}', 'Models:\n  - Name: {}\n', 'Models:\n  - {}: x\n', 'a: &a {}\nModels: [*a]\n']
)
def test_yaml_builds_no_objects(folders, tag, text):
    files, victim = folders
    (files / 'x.yml').write_text(text.format(tag.format(victim)))
    with pytest.raises(DataError):
        READERS['catalogue'](files / 'x.yml')
    assert fault_of(READERS['catalogue'], files / 'x.yml', victim) is None


@pytest.mark.parametrize('path', [*ESCAPES, *URLS])
def test_image_paths_stay_below_their_folder(tmp_path, path):
    with contextlib.suppress(DataError):
        found = Path(image_path(path, tmp_path, 'x.json'))
        assert found.is_relative_to(tmp_path) and '..' not in found.parts and found != tmp_path


def test_tokens_and_scenes_become_plain_file_names(tmp_path):
    parts = (*ESCAPES, *URLS, '.', '.hidden', '~', '-rf', 'x' * 5000, 'ü/ü', 'a\nb', 'CON')
    for scene in parts:
        for token in parts:
            path = tmp_path / f'{frame_name(scene, token)}.png'
            assert path.parent == path.resolve().parent == tmp_path and '\0' not in path.name
            assert len(path.name.encode()) <= 255 and not path.name.startswith('.')


def test_what_is_watched(tmp_path):
    with watch() as seen:
        (tmp_path / 'x').exists()
        (tmp_path / 'x').mkdir()
        with socket.socketpair()[0]:
            pass
        with pytest.raises(OSError), socket.socket(socket.AF_INET) as client:
            client.connect(('127.0.0.1', 9))
    (tmp_path / 'y').mkdir()
    assert [event.partition(' ')[0] for event in seen] == ['os.mkdir', 'socket.connect']
    assert [is_network(event) for event in seen] == [False, True]


def tensor_in(storage: str) -> bytes:
    """A pickle of one tensor whose storage is said to lie in ``data/<storage>``."""
    gadgets = Gadgets(Path(), 2)
    kind = payloads.text('storage') + gadgets.name('torch', 'FloatStorage')
    pid = b'(' + kind + payloads.text(storage) + payloads.text('cpu') + b'K\1tQ'
    ordered = payloads.call(gadgets.name('collections', 'OrderedDict'))
    one = payloads.row(b'K\1')
    tensor = payloads.call(gadgets.name('torch._utils', '_rebuild_tensor_v2'), pid, b'K\0', one, one, b'I00\n', ordered)
    return b'\x80\x02}' + payloads.text('w') + tensor + b's.'
