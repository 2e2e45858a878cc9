"""Random changes to valid files: bytes, structure, and zip and PNG parts with matching lengths and checksums."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Mutate = Callable[[Random, bytes], bytes]

_EDGES = (0, 1, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, 2**64, 10**400, 0.0, -0.0, float('nan'), float('inf'), -float('inf'), 1e308,
    5e-324, '', '.', '..', '\0', '../../../etc/passwd', '/etc/passwd', '\ud800', 'ü' * 300, 'a' * 5000, '9' * 5000,
    'nan', 'CAM_FRONT', [], {}, [[]], [[[]]], {'': {}}, [None] * 4, [[0.0] * 4] * 4, [[1e308] * 4] * 4, [0] * 1000,
)  # fmt: skip
_HOSTILE_BYTES = (
    b'', b'\0', b'\xff' * 8, b'[' * 3000, b'{"a":' * 3000, b'9' * 5000, b'1e999', b'NaN', b'-', b'"\\ud800"',
    b'\\u0000',
    b'\r\n', b',', b'../../..', b'\xef\xbb\xbf',
)  # fmt: skip


def mutate_bytes(rng: Random, data: bytes, hostile: Sequence[bytes] = _HOSTILE_BYTES) -> bytes:
    """One to four changes at places by chance: other bytes, hostile ones, a number, a cut, a repetition."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randint(0, len(changed))
        length = rng.choice((1, 2, 4, 8, 64))
        kind = rng.randrange(6)
        if kind == 0:
            changed[start : start + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            changed[start : start + rng.choice((0, length))] = rng.choice(hostile)
        elif kind == 2:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice(_EDGES) % 256**size
            changed[start : start + size] = number.to_bytes(size, rng.choice(('little', 'big')))
        elif kind == 3:
            del changed[start : start + length]
        elif kind == 4:
            changed[start:start] = changed[start : start + length] * rng.choice((1, 2, 50))
        else:
            del changed[start:]
    return bytes(changed)


def mutate_tree(rng: Random, node: Any) -> Any:
    """A copy of nested dicts and lists with one change somewhere."""
    if not isinstance(node, (dict, list, tuple)) or not node or rng.random() < 0.1:
        return _hostile_value(rng, node)
    if isinstance(node, dict):
        items = list(node.items())
        index = rng.randrange(len(items))
        key, value = items[index]
        kind = rng.randrange(12)
        if kind == 0:
            del items[index]
        elif kind == 1:
            items[index] = (rng.choice(('', 'x', '\0', '../x', key + ' ' if isinstance(key, str) else 'key')), value)
        else:
            items[index] = (key, mutate_tree(rng, value))
        return dict(items)
    values = list(node)
    index = rng.randrange(len(values))
    kind = rng.randrange(12)
    if kind == 0:
        del values[index]
    elif kind == 1:
        values.insert(index, rng.choice(values))
    else:
        values[index] = mutate_tree(rng, values[index])
    return values


def _hostile_value(rng: Random, node: Any) -> Any:
    kind = rng.randrange(8)
    if kind == 0:
        return [node] * rng.choice((1, 2, 6))
    if kind == 1:
        return {'x': node}
    if kind == 2 and isinstance(node, float):
        return rng.choice((node + 1, -node, node / 1e6, node * 1e300))
    if kind == 2 and isinstance(node, str):
        return rng.choice((node + '\0', node * 50, '../' + node, '/' + node, node.upper(), ascii(node)))
    if kind == 3:
        for _ in range(rng.choice((1, 30, 200))):
            node = [node]
        return node
    return rng.choice(HOSTILE_VALUES)


def mutate_json(rng: Random, data: bytes) -> bytes:
    """Another tree, or other bytes."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(rng, data)
    for _ in range(rng.randint(0, 3)):
        tree = mutate_tree(rng, tree)
    text = json.dumps(tree).encode()
    return mutate_bytes(rng, text) if rng.random() < 0.3 else text


#: Instructions of pickles that call, build, look up, or claim more than there is.
_HOSTILE_OPCODES = (
    b'cos\nsystem\n', b'cos\nsystem\n(S"true"\ntR', b'cbuiltins\neval\n(V1+1\ntR', b'(S"true"\nios\nsystem\n',
    b'\x8c\x02os\x8c\x06system\x93', b'ccollections\nOrderedDict\n', b'cnumpy\ndtype\n', b'cnumpy\nndarray\n',
    b'cnumpy.core.multiarray\n_reconstruct\n', b'cnumpy.core.multiarray\nscalar\n', b'c_codecs\nencode\n',
    b'ctorch._utils\n_rebuild_tensor_v2\n', b'ctorch\nFloatStorage\n', b'ctorch._utils\n_rebuild_parameter\n',
    b'R', b'b', b'\x81', b'\x92', b'o', b'(', b'0', b'1', b'2', b'Q', b'P0\n', b't', b'\x85', b'\x86', b'\x87', b'a',
    b'e', b's', b'u', b'}', b']', b')', b'\x8f', b'\x90', b'\x91', b'N', b'\x88', b'.', b'd', b'l',
    b'Gxxxxxxxx', b'G\x7f\xf8\0\0\0\0\0\0', b'I999999999999\n', b'I01\n', b'L5L\n', b'F1e999\n', b'V\\ud800\n',
    b'I' + b'9' * 5000 + b'\n', b'r\xff\xff\xff\xff', b'q\0', b'h\0', b'h\xff', b'j\xff\xff\xff\xff', b'g99\n',
    b'p-1\n', b'\x8a\xff' + b'\xff' * 255, b'\x8b\xff\xff\xff\x7f', b'\x8b\xff\xff\xff\xff', b'\x95' + b'\xff' * 8,
    b'\x95' + bytes(8),
    b'\x82\x01', b'\x83\x01\x01', b'\x84\xff\xff\xff\x7f', b'\x8e' + b'\xff' * 7 + b'\x7f', b'B\xff\xff\xff\xff',
    b'T\xff\xff\xff\x7f', b'X\xff\xff\xff\xff', b'\x96' + b'\xff' * 7 + b'\x7f', b'\x96' + bytes(8), b'\x97', b'\x98',
    b'2\x86' * 40, b')' + b'2\x86' * 40 + b'Ns', b')' + b'2\x86' * 40 + b'R', b'(' + b')' + b'2\x86' * 40 + b'\x91',
    b'\x80\x09', b'K\xff', b'J\xff\xff\xff\x7f', b'J\xff\xff\xff\xff', b'C\x01x', b'U\x01\xff', b'\x94',
)  # fmt: skip


def mutate_opcodes(rng: Random, data: bytes) -> bytes:
    """Other instructions of a pickle: some taken out, doubled, moved, or put in; or other bytes."""
    try:
        starts = [position for _, _, position in pickletools.genops(data) if position is not None]
    except Exception:  # a pickle that was changed before
        return mutate_bytes(rng, data, _HOSTILE_OPCODES)
    ends = [*starts[1:], len(data)]
    parts = [data[start:end] for start, end in zip(starts, ends, strict=True)]
    for _ in range(rng.randint(1, 4)):
        index = rng.randrange(len(parts) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            del parts[index : index + rng.choice((1, 1, 5))]
        elif kind == 1:
            parts[index:index] = parts[index : index + rng.choice((1, 3))]
        elif kind == 2 and parts:
            parts.insert(index, rng.choice(parts))
        elif kind == 3:
            parts[index : index + 1] = [rng.choice(_HOSTILE_OPCODES)]
        else:
            parts.insert(index, rng.choice(_HOSTILE_OPCODES))
    changed = b''.join(parts)
    return mutate_bytes(rng, changed, _HOSTILE_OPCODES) if rng.random() < 0.2 else changed


def pickle_mutator(trees: Sequence[Any]) -> Mutate:
    """Changes of instructions, or one of some values changed and then pickled by one of the protocols."""

    def mutate(rng: Random, data: bytes) -> bytes:
        if rng.random() < 0.6:
            return mutate_opcodes(rng, data)
        tree = rng.choice(trees)
        for _ in range(rng.randint(1, 3)):
            tree = mutate_tree(rng, tree)
        return pickle.dumps(tree, rng.randint(0, pickle.HIGHEST_PROTOCOL))

    return mutate


_SIZES = (0, 1, 7, 255, 4096, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_ZIP_HEADERS = (b'PK\3\4', b'PK\1\2', b'PK\5\6', b'PK\6\6', b'PK\6\7', b'PK\7\x08')
_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'


def zip_mutator(inner: Mutate) -> Mutate:
    """Changes of an archive's entries (``inner`` those of its pickle) or of its headers."""

    def mutate(rng: Random, data: bytes) -> bytes:
        kind = rng.randrange(4)
        if kind == 0:
            return mutate_bytes(rng, data)
        if kind == 1:
            return _other_headers(rng, data)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
        except Exception:  # an archive that was changed before
            return mutate_bytes(rng, data)
        return _zip(rng, _other_entries(rng, entries, inner, only_pickle=kind == 2))

    return mutate


def _other_headers(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    places = [found.start() for magic in _ZIP_HEADERS for found in re.finditer(re.escape(magic), data)]
    for _ in range(rng.randint(1, 3)):
        if places:
            at = rng.choice(places) + rng.randrange(4, 56)
            size = rng.choice((2, 4, 8))
            changed[at : at + size] = (rng.choice(_SIZES) * rng.choice((1, 2**32 + 1)) % 256**size).to_bytes(
                size, 'little'
            )
    return bytes(changed)


def _other_entries(
    rng: Random, entries: list[tuple[str, bytes]], inner: Mutate, only_pickle: bool
) -> list[tuple[str, bytes]]:
    result = []
    for name, content in entries:
        if name.endswith('data.pkl'):
            content = inner(rng, content)
        elif not only_pickle:
            kind = rng.randrange(12)
            if kind == 0:
                continue
            if kind == 1:
                content = content[: len(content) // 2]
            elif kind == 2:
                content = bytes(rng.choice((0, 1, 24, 1000)))
            elif kind == 3:
                name = rng.choice(('../' + name, '/' + name, name + '/', name.upper(), 'a/' + name, 'data.pkl'))
            elif kind == 4:
                result.append((name, content))
        result.append((name, content))
    return result


def _zip(rng: Random, entries: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
    with warnings.catch_warnings(), zipfile.ZipFile(stream, 'w', kind) as archive:
        warnings.simplefilter('ignore')  # names that are there twice
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, kind)
    return stream.getvalue()


def mutate_png(rng: Random, data: bytes) -> bytes:
    """Chunks taken out, doubled, exchanged, or with other content; or other bytes."""
    if rng.random() < 0.2 or not data.startswith(_PNG_SIGNATURE):
        return mutate_bytes(rng, data)
    chunks, at = [], len(_PNG_SIGNATURE)
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], 'big')
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    for _ in range(rng.randint(1, 3)):
        if chunks:
            index = rng.randrange(len(chunks))
            kind = rng.randrange(8)
            if kind == 0:
                del chunks[index]
            elif kind == 1:
                chunks.insert(rng.randrange(len(chunks) + 1), chunks[index])
            else:
                chunks[index] = _other_chunk(rng, *chunks[index])
    return _PNG_SIGNATURE + b''.join(
        struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))
        for name, content in chunks
    )


def _other_chunk(rng: Random, name: bytes, content: bytes) -> tuple[bytes, bytes]:
    if name == b'IHDR' and len(content) == 13:
        width, height, *rest = struct.unpack('>IIBBBBB', content)
        size = [rng.choice((n, n, 1, n * 2 % 2**32, 30_000, *_SIZES)) for n in (width, height)]
        rest = [rng.choice((n, n, n, 0, 1, 2, 3, 8, 16, 255)) for n in rest]
        return name, struct.pack('>IIBBBBB', *size, *rest)
    if name == b'IDAT':
        try:
            rows = zlib.decompress(content)
        except zlib.error:
            rows = content
        rows = rng.choice((rows[:-1], rows + bytes(100), bytes(len(rows)), b'\xff' * len(rows), bytes(5 * 10**6)))
        return name, zlib.compress(rows)
    keyword, _, text = content.partition(b'\0\0')
    if name == b'zTXt':
        try:
            text = zlib.decompress(text)
        except zlib.error:
            return name, mutate_bytes(rng, content)
        text = rng.choice((mutate_json(rng, text), mutate_bytes(rng, text), bytes(10**6)))
        return rng.choice(((name, keyword + b'\0\0' + zlib.compress(text)), (b'tEXt', keyword + b'\0' + text)))
    return name, mutate_bytes(rng, content)
