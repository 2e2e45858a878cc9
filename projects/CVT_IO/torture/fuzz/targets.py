"""What is fuzzed: each reader with valid files, and changes to them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...cvt_io.fileio import read_torch_zip
from . import readers, seeds
from .containers import mutate_png, zip_mutator
from .mutations import (
    Mutate,
    mutate_json,
    mutate_opcodes,
    pickle_mutator,
)
from .readers import Read


@dataclass(frozen=True)
class Target:
    """A reader of files.

    Attributes:
        name: in the report.
        suffix: of the files.
        seeds: valid files, or what ``wrap`` makes files of.
        mutate: changes one.
        make_reader: scratch folder → what reads a file in it.
        wrap: makes the file of an input, if that is only the inside of one: bytes changed by chance never get past a
            checksum.
        words: for the coverage-guided fuzzer to put in.
        may_write: whether the reader writes files.
        may_claim: see :class:`Guard`.
        weight: share of the inputs, in relation to the others; the slow ones get less.
    """

    name: str
    suffix: str
    seeds: Sequence[bytes]
    mutate: Mutate
    make_reader: Callable[[Path], Read]
    wrap: Callable[[bytes], bytes] = bytes
    words: Sequence[bytes] = ()
    may_write: bool = False
    may_claim: bool = False
    weight: float = 1.0


_JSON_WORDS = (b'"data_list"', b'"images"', b'"cam_from_ego"', b'"intrinsics"', b'null', b'NaN', b'1e999', b'[[')
_PICKLE_WORDS = (b'ccollections\nOrderedDict\n)R', b'cnumpy\ndtype\n', b'ctorch._utils\n_rebuild_tensor_v2\n')


def all_targets(folder: Path) -> dict[str, Target]:
    """Targets by name; ``folder`` is scratch for making their seeds."""
    infos, originals = seeds.infos(folder), seeds.originals(readers.original_state())
    trees = seeds.mmdet3d_trees()
    targets = (
        Target('infos', '_infos_val.json', infos, mutate_json, readers.source_reader, words=_JSON_WORDS),
        Target('dataset', '.json', infos, mutate_json, readers.dataset_reader, words=_JSON_WORDS, weight=0.5),
        Target('rig', '.json', seeds.rigs(), mutate_json, readers.source_reader, words=_JSON_WORDS),
        Target('label', '.png', seeds.labels(), mutate_png, readers.label_reader, words=(b'zTXtcvt_io\0\0', b'IDAT')),
        Target('image', '.jpg', seeds.images(), mutate_png, readers.image_reader, words=(b'\xff\xd9', b'\xff\xda')),
        Target(
            'checkpoint', '.pth', seeds.checkpoints(), zip_mutator(mutate_opcodes), readers.checkpoint_reader,
            words=_PICKLE_WORDS, may_claim=True, weight=0.5,
        ),
        Target(
            'torch zip', '.ckpt', originals, zip_mutator(mutate_opcodes), lambda _: read_torch_zip, words=(b'PK\5\6',)
        ),
        Target(
            'original', '.ckpt', [_pickle_of(originals[0])], mutate_opcodes, readers.original_reader,
            wrap=lambda data: _with_pickle(originals[0], data), words=_PICKLE_WORDS,
        ),
        Target(
            'mmdet3d', '.pkl', seeds.mmdet3d_pickles(), pickle_mutator(trees), readers.source_reader,
            words=_PICKLE_WORDS, weight=2.0,
        ),
    )  # fmt: skip
    return {target.name: target for target in targets}


def _pickle_of(archive: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return file.read('archive/data.pkl')


def _with_pickle(archive: bytes, pickle: bytes) -> bytes:
    """The archive with another pickle among its storages."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(stream, 'w') as new:
        for entry in old.infolist():
            is_pickle = entry.filename.endswith('/data.pkl')
            new.writestr(zipfile.ZipInfo(entry.filename), pickle if is_pickle else old.read(entry))
    return stream.getvalue()
