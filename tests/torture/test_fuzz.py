"""Readers survive changed files: they return or raise the project's own error, within bounds, and do nothing else."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projects.CVT_IO.cvt_io.errors import DataError
from tests.torture import mutations, readers, seeds
from tests.torture.readers import READERS, fault_of, quiet


@dataclass(frozen=True)
class Kind:
    """Files of one kind: by which reader, valid ones, and how they are changed."""

    reader: str
    suffix: str
    seeds: Callable[[Path], Sequence[bytes]]
    mutate: mutations.Mutate
    examples: int = 12_000  # of the full length


ARCHIVE = mutations.zip_mutator(mutations.mutate_opcodes)
KINDS = {
    'infos': Kind('input', '_infos_val.json', seeds.infos, mutations.mutate_json),
    'data set': Kind('data set', '.json', seeds.infos, mutations.mutate_json),
    'rig': Kind('input', '.json', seeds.rigs, mutations.mutate_json),
    'label': Kind('label', '.png', seeds.labels, mutations.mutate_png),
    'image': Kind('image', '.jpg', seeds.images, mutations.mutate_png),
    'checkpoint': Kind('checkpoint', '.pth', seeds.checkpoints, ARCHIVE),
    'original': Kind('original checkpoint', '.ckpt', seeds.originals, ARCHIVE),
    'converted': Kind('converted checkpoint', '.ckpt', seeds.originals, ARCHIVE, examples=1000),
    'mmdet3d': Kind('input', '.pkl', seeds.mmdet3d_pickles, mutations.pickle_mutator(seeds.mmdet3d_trees())),
    'ONNX': Kind('ONNX graph', '.onnx', seeds.graphs, mutations.mutate_bytes),
    'OpenVINO': Kind('ONNX graph', '.xml', seeds.irs, mutations.mutate_bytes, examples=3000),
}


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    ('name', 'examples'),
    [*((name, 40) for name in KINDS), *(pytest.param(n, k.examples, marks=pytest.mark.slow) for n, k in KINDS.items())],
)
def test_changed_files(name, examples, tmp_path):
    kind = KINDS[name]
    files = kind.seeds(tmp_path)
    read, path = READERS[kind.reader], tmp_path / f'x{kind.suffix}'
    valid = 0
    for data in files:  # imports what is needed, too
        path.write_bytes(data)
        with contextlib.suppress(DataError):
            read(path)
            valid += 1
    assert valid or name == 'converted'  # whose seeds lack most weights

    @settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from(files), st.randoms(use_true_random=False))
    def read_changed(data: bytes, rng: Random) -> None:
        path.write_bytes(kind.mutate(rng, data))
        assert fault_of(read, path) is None

    with quiet(), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # printing one opens source files
        read_changed()


def spin(path: Path) -> None:
    end = time.process_time() + 5
    while time.process_time() < end:
        pass


def hide(action: Callable[[], object]) -> Callable[[Path], None]:
    """Does it and swallows whatever comes of it."""

    def read(path: Path) -> None:
        try:
            action()
        except Exception:
            raise DataError('refused') from None

    return read


@pytest.mark.parametrize(
    ('reader', 'fault'),
    [
        (lambda path: {}['key'], "KeyError: 'key'"),
        (lambda path: exit(0), 'SystemExit'),
        (lambda path: bytearray(1 << 34), 'MemoryError'),
        (spin, 'took more than 0.2 s'),
        (hide(lambda: os.system('true')), 'did os.system'),  # noqa: S605 - must be noticed
        (hide(lambda: subprocess.run(['true'], check=False)), 'did subprocess.Popen'),
        (hide(lambda: eval('1 + 1')), 'did compile'),  # noqa: S307 - must be noticed
        (hide(lambda: pickle.loads(b'cos\ngetcwd\n.')), 'did pickle.find_class'),  # noqa: S301 - must be noticed
        (hide(lambda: socket.getaddrinfo('localhost', 80)), 'did socket.getaddrinfo'),
        (lambda path: path.with_name('new').write_text('x'), 'did open'),
        (hide(lambda: Path('/proc/none').mkdir()), 'did os.mkdir'),
        (hide(lambda: [][0]), None),
        (lambda path: path.is_file(), None),
    ],
)  # fmt: skip
def test_faults_are_found(tmp_path, monkeypatch, reader, fault):
    monkeypatch.setattr(readers, 'CPU_SECONDS', 0.2)
    found = fault_of(reader, tmp_path / 'x')
    assert (found is None) if fault is None else found.startswith(fault)
