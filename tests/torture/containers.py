"""Random changes to the parts of zip and PNG files, with lengths and checksums that fit."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from random import Random

from tests.torture.mutations import Mutate, mutate_bytes, mutate_json

_EDGES = (0, 1, 7, 255, 4096, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
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
    places = [place for magic in _ZIP_HEADERS for place in _find_all(data, magic)]
    for _ in range(rng.randint(1, 3)):
        if places:
            at = rng.choice(places) + rng.randrange(4, 56)
            size = rng.choice((2, 4, 8))
            changed[at : at + size] = (rng.choice(_EDGES) * rng.choice((1, 2**32 + 1)) % 256**size).to_bytes(
                size, 'little'
            )
    return bytes(changed)


def _find_all(data: bytes, magic: bytes) -> list[int]:
    places, at = [], data.find(magic)
    while at >= 0:
        places.append(at)
        at = data.find(magic, at + 1)
    return places


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
        size = [rng.choice((n, n, 1, n * 2 % 2**32, 30_000, *_EDGES)) for n in (width, height)]
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
