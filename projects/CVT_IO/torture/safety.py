"""Files of strangers that would do harm: whatever reads them does none, and ends with the project's own errors."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..cvt_io.errors import DataError
from ..cvt_io.fileio.checks import image_path
from ..cvt_io.visualization.scene import frame_name
from . import payloads
from .audit import watch
from .outcome import Outcome
from .payloads import PROTOCOLS, Gadgets
from .readers import EXPECTED, READERS, Reader

#: Containers of a pickle by the end of their names, which some readers look at: path, pickle → the file.
_CONTAINERS: Mapping[str, Callable[[Path, bytes], object]] = {
    '.pkl': lambda path, data: path.write_bytes(data),
    '.pth': lambda path, data: path.write_bytes(payloads.legacy(data)),
    '.zip': payloads.zipped,
}
_SHORT = (0, 2, 4)
#: Paths that lead out of a folder, or into another kind of place.
ESCAPES = (
    '../secret',
    '../../../../../../../../etc/passwd',
    '/etc/passwd',
    'a/../../secret',
    './../secret',
    '//server/share',
    'C:/secret',
    'C:secret',
    '..\\secret',
    '\\\\server\\share',
    'a\0b',
    '',
    '/',
    '..',
    'samples/..',
)
_URLS = ('file:///etc/passwd', 'http://127.0.0.1:9/x', 'https://127.0.0.1:9/x', 's3://bucket/x', 'data:,x')
_TAGS = (
    '!!python/object/apply:os.mkdir ["{}"]',
    '!!python/object/new:os.mkdir ["{}"]',
    '!!python/object/apply:os.system ["mkdir {}"]',
    "!!python/object/apply:builtins.eval [\"__import__('os').mkdir('{}')\"]",
    '!!python/module:' + payloads.CANARY,
    '!!python/name:' + payloads.CANARY + '.value',
    '!!python/object:' + payloads.CANARY + '.value {{}}',
)


@dataclass
class _Count:
    """Trials so far, and what the first failures were."""

    tried: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, what: str, fault: str | None) -> None:
        self.tried += 1
        if fault:
            self.failures.append(f'{what}: {fault}')

    def outcome(self, what: str, note: str = '') -> Outcome:
        first = ' '.join(self.failures[0].split())[:300] if self.failures else note
        return Outcome(what, self.tried, self.tried - len(self.failures), first)


def run(folder: Path, full: bool) -> Iterator[Outcome]:
    """Tries all kinds of harmful files; ``full=False`` takes each payload at one place, in three of six protocols."""
    folder.mkdir(parents=True, exist_ok=True)
    victim, files = folder / 'victim', folder / 'files'
    files.mkdir()
    payloads.write_canary(folder, victim)
    sys.path.append(str(folder))
    try:
        _warm_up(files)
        for name, reader in READERS.items():
            yield hostile_pickles(name, reader, files, victim, full)
        yield hostile_archives(files, victim)
        yield hostile_catalogues(files, victim)
        yield escaping_paths(folder)
        yield escaping_names(folder)
    finally:
        sys.path.remove(str(folder))


def hostile_pickles(name: str, reader: Reader, folder: Path, victim: Path, full: bool) -> Outcome:
    """Payloads at several places, in every container, given to a reader."""
    count = _Count()
    for protocol in PROTOCOLS if full else _SHORT:
        gadgets = Gadgets(victim, protocol)
        for number, (what, value) in enumerate(gadgets):
            places = [*payloads.placements(value, gadgets)]
            for where, data in places if full else [places[number % len(places)]]:
                for suffix, write in _CONTAINERS.items():
                    path = folder / f'x{suffix}'
                    write(path, data)
                    count.add(f'{what}, {where}, protocol {protocol}, {suffix}', fault_of(reader, path, victim))
    return count.outcome(f'pickles that run something, read as {name}', 'nothing run, written or asked of the network')


def hostile_archives(folder: Path, victim: Path) -> Outcome:
    """Archives whose entries would lie elsewhere, or are links to elsewhere."""
    count = _Count()
    empty = b'\x80\x02}.'
    for escape in ESCAPES:
        pickled = _tensor_in(escape)
        for others in ({escape: b'x'}, {f'x/data/{escape}': bytes(4)}, {f'x/{escape}/data.pkl': empty}):
            for data in (empty, pickled):
                path = payloads.zipped(folder / 'x.zip', data, others)
                for name in ('a checkpoint', 'pre-trained weights', 'an original checkpoint'):
                    count.add(f'{others}, {name}', fault_of(READERS[name], path, victim))
        links = {'x/data.pkl': escape, 'x/data/0': escape, 'link': escape}
        path = payloads.write_zip(folder / 'x.zip', {}, links)
        for name in ('a checkpoint', 'pre-trained weights', 'an original checkpoint'):
            count.add(f'links to {escape}, {name}', fault_of(READERS[name], path, victim))
    return count.outcome('archives with entries that climb, or are links', 'nothing unpacked')


def hostile_catalogues(folder: Path, victim: Path) -> Outcome:
    """YAML that would build objects."""
    count = _Count()
    path = folder / 'x.yml'
    for tag in _TAGS:
        for text in ('{}', 'Models: {}', 'Models:\n  - Name: {}\n', 'Models:\n  - {}: x\n', 'a: &a {}\nModels: [*a]\n'):
            path.write_text(text.format(tag.format(victim)))
            count.add(text.format(tag), fault_of(_refused, path, victim))
    return count.outcome('YAML that builds objects, read as the catalogue', 'refused')


def escaping_paths(folder: Path) -> Outcome:
    """Paths of images that lead out of the data set's folder."""
    count = _Count()
    root = folder / 'root'
    for path in (*ESCAPES, *_URLS):
        try:
            found = image_path(path, root, 'x.json')
        except DataError:
            fault = None
        else:
            inside = Path(found).is_relative_to(root) and '..' not in Path(found).parts and Path(found) != root
            fault = None if inside else f'became {found}'
        count.add(repr(path), fault)
    return count.outcome('image paths that climb, are absolute or are URLs', 'refused, or below their folder')


def escaping_names(folder: Path) -> Outcome:
    """Tokens and scenes that would make files elsewhere."""
    count = _Count()
    parts = (*ESCAPES, *_URLS, '.', '.hidden', '~', '-rf', 'x' * 5000, 'ü/ü', 'a\nb', 'CON')
    for scene in parts:
        for token in parts:
            path = folder / f'{frame_name(scene, token)}.png'
            plain = path.parent == folder and path.resolve().parent == folder.resolve() and '\0' not in path.name
            fits = len(path.name.encode()) <= 255 and not path.name.startswith('.')
            count.add(f'{scene!r:.40} {token!r:.40}', None if plain and fits else f'became {path.name!r:.80}')
    return count.outcome('tokens and scenes as names of files', 'one plain name each, in their folder')


def fault_of(reader: Reader, path: Path, victim: Path) -> str | None:
    """What is wrong with how a file is read; ``None`` if the value comes, or one of the project's own errors."""
    fault = None
    sys.modules.pop(payloads.CANARY, None)
    with watch() as seen:
        try:
            reader(path)
        except EXPECTED as error:
            fault = 'an error of several lines' if '\n' in str(error) and not isinstance(error, EXPECTED[1]) else None
        except Exception as error:
            fault = f'{type(error).__name__}: {error}'
    if victim.exists():
        victim.rmdir()
        return 'the payload has run'
    if payloads.CANARY in sys.modules:
        return 'a module was imported'
    return f'did {seen[0]}' if seen else fault


def _refused(path: Path) -> None:
    READERS['the catalogue'](path)
    raise RuntimeError('read without an error')


def _tensor_in(storage: str) -> bytes:
    """A pickle of one tensor whose storage is said to lie in ``data/<storage>``."""
    gadgets = Gadgets(Path(), 2)
    kind = payloads.text('storage') + gadgets.name('torch', 'FloatStorage')
    pid = b'(' + kind + payloads.text(storage) + payloads.text('cpu') + b'K\1tQ'
    ordered = payloads.call(gadgets.name('collections', 'OrderedDict'))
    one = payloads.row(b'K\1')
    tensor = payloads.call(gadgets.name('torch._utils', '_rebuild_tensor_v2'), pid, b'K\0', one, one, b'I00\n', ordered)
    return b'\x80\x02}' + payloads.text('w') + tensor + b's.'


def _warm_up(folder: Path) -> None:
    """Lets everything be imported that readers import when first used."""
    path = folder / 'x.zip'
    payloads.zipped(path, _tensor_in('0'), {'x/data/0': bytes(4)})
    for reader in READERS.values():
        with contextlib.suppress(Exception):
            reader(path)
