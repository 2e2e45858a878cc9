"""Pickles that do harm where they are unpickled: each makes a folder, and none does worse.

They are written opcode by opcode, so that each protocol's own ways come about, and so that nothing has to be named here
which the project does without.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

PROTOCOLS = range(6)
#: A module that makes a folder when it is imported; for :func:`write_canary`.
CANARY = 'cvt_io_canary'

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
URLS = ('file:///etc/passwd', 'http://127.0.0.1:9/x', 'https://127.0.0.1:9/x', 's3://bucket/x', 'data:,x')
TAGS = (
    '!!python/object/apply:os.mkdir ["{}"]',
    '!!python/object/new:os.mkdir ["{}"]',
    '!!python/object/apply:os.system ["mkdir {}"]',
    "!!python/object/apply:builtins.eval [\"__import__('os').mkdir('{}')\"]",
    '!!python/module:' + CANARY,
    '!!python/name:' + CANARY + '.value',
    '!!python/object:' + CANARY + '.value {{}}',
)

_LINK = 0o120777 << 16  # attributes of a symbolic link in a zip file
# What torch.save wrote before PyTorch 1.6: pickles of a magic number, a version and the machine, and then the value.
_LEGACY_HEAD = (
    b'\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.'
    + b'\x80\x02M\xe9\x03.'
    + b'\x80\x02}X\x0d\0\0\0little_endian\x88s.'
)


def write_canary(folder: Path, victim: Path) -> None:
    """Writes the module :data:`CANARY`, which makes the folder ``victim``."""
    (folder / f'{CANARY}.py').write_text(f'import os\n\nos.mkdir({str(victim)!r})\nvalue = 0\n')


def text(value: str) -> bytes:
    """Opcodes that push a text."""
    data = value.encode('utf-8', 'surrogatepass')
    return b'X' + struct.pack('<I', len(data)) + data


def binary(value: bytes) -> bytes:
    """Opcodes that push bytes."""
    return b'B' + struct.pack('<I', len(value)) + value


def row(*items: bytes) -> bytes:
    """Opcodes that push a tuple."""
    return b'(' + b''.join(items) + b't'


def call(function: bytes, *arguments: bytes) -> bytes:
    """Opcodes that push what a call returns."""
    return function + row(*arguments) + b'R'


class Gadgets:
    """Opcodes that leave one value, and on the way make a folder.

    Args:
        victim: the folder.
        protocol: of the pickle; from 4 on, names are looked up by STACK_GLOBAL.
    """

    def __init__(self, victim: Path, protocol: int) -> None:
        self.protocol = protocol
        self._path = text(str(victim))
        self._code = text(f'__import__("os").mkdir({str(victim)!r})')
        self._command = text(f'mkdir {victim}')

    def name(self, module: str, attribute: str) -> bytes:
        """Opcodes that push what a name stands for."""
        if self.protocol < 4:
            return f'c{module}\n{attribute}\n'.encode()
        return text(module) + text(attribute) + b'\x93'

    def attribute(self, owner: bytes, attribute: str) -> bytes:
        """Opcodes that push an attribute of what others push."""
        return call(self.name('builtins', 'getattr'), owner, text(attribute))

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        yield from self._functions()
        yield from self._opcodes()

    def _functions(self) -> Iterator[tuple[str, bytes]]:
        """By the function that is called."""
        name, path, code = self.name, self._path, self._code
        mkdir, os_module = name('os', 'mkdir'), call(name('importlib', 'import_module'), text('os'))
        paths = b'(' + path + b'l'
        yield 'os.mkdir', call(mkdir, path)
        yield 'posix.mkdir', call(name('posix', 'mkdir'), path)
        yield 'os.system', call(name('os', 'system'), self._command)
        yield 'os.popen', call(self.attribute(call(name('os', 'popen'), self._command), 'read'))
        yield 'subprocess.run', call(name('subprocess', 'run'), b'(' + text('mkdir') + path + b'l')
        yield 'eval', call(name('builtins', 'eval'), code)
        yield 'exec', call(name('builtins', 'exec'), code)
        yield (
            'compile',
            call(name('builtins', 'eval'), call(name('builtins', 'compile'), code, text('x'), text('eval'))),
        )
        yield 'getattr', call(self.attribute(os_module, 'mkdir'), path)
        yield 'attrgetter', call(call(call(name('operator', 'attrgetter'), text('mkdir')), os_module), path)
        yield 'methodcaller', call(call(name('operator', 'methodcaller'), text('mkdir'), path), os_module)
        yield 'partial', call(call(name('functools', 'partial'), mkdir, path))
        yield 'map', call(name('builtins', 'list'), call(name('builtins', 'map'), mkdir, paths))
        yield 'timeit', call(name('timeit', 'timeit'), code, text('pass'), name('time', 'perf_counter'), b'K\x01')
        yield 'pickle in a pickle', call(name('pickle', 'loads'), binary(call(mkdir, path) + b'.'))
        yield (
            'torch in a pickle',
            call(name('torch.storage', '_load_from_bytes'), binary(legacy(call(mkdir, path) + b'.'))),
        )
        yield 'an import', name(CANARY, 'value')
        if self.protocol >= 4:
            yield 'a name with dots', call(name('pathlib', 'os.mkdir'), path)

    def _opcodes(self) -> Iterator[tuple[str, bytes]]:
        """By the opcode that calls."""
        mkdir, path = self.name('os', 'mkdir'), self._path
        map_, list_ = self.name('builtins', 'map'), self.name('builtins', 'list')
        mapped = mkdir + b'(' + path + b'l'
        yield 'INST', b'(' + path + b'ios\nmkdir\n'
        yield 'OBJ', b'(' + mkdir + path + b'o'
        yield 'NEWOBJ', call(list_, map_ + row(mapped) + b'\x81')
        yield 'NEWOBJ_EX', call(list_, map_ + row(mapped) + b'}\x92')
        partial = call(self.name('functools', 'partial'), list_)
        yield 'BUILD', call(partial + row(mkdir, row(path), b'}', b'N') + b'b')
        yield 'by memo', mkdir + b'p7\n0' + call(b'g7\n', path)


def placements(value: bytes, gadgets: Gadgets) -> Iterator[tuple[str, bytes]]:
    """(where, pickle) of a value in each of several places."""
    name = gadgets.name
    multiarray = 'numpy.core.multiarray'
    array = call(name(multiarray, '_reconstruct'), name('numpy', 'ndarray'), row(b'K\0'), binary(b'b'))
    objects = call(name('numpy', 'dtype'), text('O'))
    places = {
        'alone': value,
        'in a dict': b'}' + text('data_list') + value + b's',
        'as a key': b'}' + value + text('x') + b's',
        'in lists': b']' * 3 + value + b'a' * 3,
        'dropped': value + b'0}',
        'in an array': array + row(b'K\1', row(b'K\1'), objects, b'I00\n', b'(' + value + b'l') + b'b',
        'beside weights': b'}' + text('state_dict') + b'}s' + text('meta') + value + b's',
    }
    head = b'' if gadgets.protocol < 2 else b'\x80' + bytes([gadgets.protocol])
    for where, opcodes in places.items():
        yield where, head + opcodes + b'.'


def legacy(pickled: bytes) -> bytes:
    """A file of ``torch.save`` from before PyTorch 1.6."""
    return _LEGACY_HEAD + pickled + b'\x80\x02].'


def zipped(path: Path, pickled: bytes, others: Mapping[str, bytes] | None = None) -> Path:
    """A file of ``torch.save`` as a zip, with other entries of any name beside those that it needs."""
    entries = {'x/data.pkl': pickled, 'x/byteorder': b'little', 'x/version': b'3\n'} | dict(others or {})
    return write_zip(path, entries)


def write_zip(path: Path, entries: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> Path:
    """A zip of entries with these very names; ``links``, name → target, are symbolic links."""
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data)
        for name, target in (links or {}).items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = _LINK
            archive.writestr(entry, target)
    return path
