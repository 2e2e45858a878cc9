"""The fuzzers pass, and what they are there to notice they do notice."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.zoo.catalogue import REPOSITORY
from projects.CVT_IO.torture import fuzz
from projects.CVT_IO.torture.fuzz.campaign import TOTAL, planned
from projects.CVT_IO.torture.fuzz.guard import MIB, Guard
from projects.CVT_IO.torture.fuzz.guided import is_available, start_guided
from projects.CVT_IO.torture.fuzz.ledger import Ledger
from projects.CVT_IO.torture.fuzz.mutations import mutate_bytes
from projects.CVT_IO.torture.fuzz.structured import fuzz_structured
from projects.CVT_IO.torture.fuzz.targets import Target, all_targets

SEED = b'a valid file of some length'


def fuzzed(folder: Path, read: Callable[[bytes], object], **bounds) -> Ledger:
    """What the fuzzer says of a reader that does something on every file but the seed."""

    def make_reader(_: Path) -> Callable[[Path], object]:
        def on_change(path: Path) -> None:
            data = path.read_bytes()
            if data != SEED and data != SEED[: len(SEED) // 2]:
                read(data)

        return on_change

    target = Target('sabotaged', '.bin', [SEED], mutate_bytes, make_reader)
    return fuzz_structured(target, 30, folder, partial(Guard, **bounds))


def refuse(data: bytes) -> None:
    raise DataError('not the file')


def refuse_for_memory(data: bytes) -> None:
    try:
        bytearray(1 << 32)
    except MemoryError as error:
        raise DataError('too large') from error


def hide(action: Callable[[], object]) -> Callable[[bytes], None]:
    """Does it and swallows whatever stops it."""

    def read(data: bytes) -> None:
        with contextlib.suppress(Exception):
            action()

    return read


def spin(data: bytes) -> None:
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass


def never_end(data: bytes) -> None:
    while True:
        pass


def test_short_form(tmp_path):
    outcomes = list(fuzz.run(tmp_path, full=False))
    assert len(outcomes) == len(all_targets(tmp_path))
    assert all(outcome.passed for outcome in outcomes), outcomes
    assert all(outcome.tried >= 20 for outcome in outcomes)


def test_long_form_is_long_enough(tmp_path):
    assert sum(planned(target, full=True) for target in all_targets(tmp_path).values()) >= TOTAL == 100_000


def test_a_reader_that_refuses_survives(tmp_path):
    ledger = fuzzed(tmp_path, refuse)
    assert ledger.tried >= 30 and ledger.broken == 0 and ledger.problems() == []


@pytest.mark.parametrize(
    ('read', 'problem'),
    [
        (lambda data: {}['key'], "raised KeyError: 'key'"),
        (lambda data: sys.exit(0), 'raised SystemExit'),
        (lambda data: bytearray(1 << 32), 'raised MemoryError|asked for more than 128 MiB'),
        (lambda data: [bytes(MIB) for _ in range(400)], 'asked for more than 128 MiB'),
        (refuse_for_memory, 'asked for more than 128 MiB'),
        (hide(lambda: os.system('true')), "tried os.system"),
        (hide(lambda: subprocess.run(['true'], check=False)), 'tried subprocess.Popen'),
        (hide(lambda: eval('1 + 1')), 'tried compile'),
        (hide(lambda: exec(compile('1', 'x', 'exec'))), 'tried compile'),
        (hide(lambda: pickle.loads(b'cos\nsystem\n(S"true"\ntR.')), 'tried pickle.find_class'),
        (hide(lambda: __import__('antigravity')), 'tried import'),
        (hide(lambda: socket.socket()), 'tried socket'),
        (hide(lambda: Path('written').write_text('x')), 'tried to write .*written'),
        (hide(lambda: Path('/etc/passwd').read_text()), 'tried to read /etc/passwd'),
        (hide(lambda: Path('folder').mkdir()), 'tried os.mkdir'),
        (lambda data: faulthandler._sigsegv(), 'ended the process by SIGSEGV'),
        (lambda data: os._exit(3), 'ended the process with exit code 3'),
        (lambda data: os._exit(0), 'ended the process with exit code 0'),
    ],
)  # fmt: skip
def test_sabotage_is_noticed(tmp_path, read, problem):
    ledger = fuzzed(tmp_path, read)
    assert 0 < ledger.broken <= ledger.tried
    (found,) = ledger.problems()
    assert re.search(problem, found), found


def test_a_reader_that_never_ends_is_ended(tmp_path):
    ledger = fuzzed(tmp_path, never_end, seconds=1)
    (found,) = ledger.problems()
    assert 'ended the process by SIGALRM' in found
    (kept,) = tmp_path.glob('found-*.bin')
    assert kept.read_bytes() != SEED


def test_a_reader_that_is_slow_is_noticed(tmp_path):
    (found,) = fuzzed(tmp_path, spin, cpu_seconds=0.05).problems()
    assert 'worked for 0.1 s' in found


def test_the_smallest_input_is_kept_and_is_the_same_again(tmp_path):
    def read(data: bytes) -> None:
        if len(data) > 40:
            raise KeyError(len(data))

    kept = []
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        assert len(fuzzed(tmp_path / name, read).problems()) == 1
        (path,) = (tmp_path / name).glob('found-*.bin')
        kept.append(path.read_bytes())
    assert kept[0] == kept[1] and 40 < len(kept[0]) < 200


@pytest.mark.skipif(not is_available(), reason='Atheris has no wheel for this platform')
def test_guided_by_coverage(tmp_path):
    assert start_guided('mmdet3d', 200, tmp_path, seconds=60) == 0, (tmp_path / 'output.txt').read_text()
    ledger = Ledger(tmp_path)
    assert ledger.tried >= 200 and ledger.broken == 0, ledger.problems()
    assert re.search(r'cov: [1-9]\d\d', (tmp_path / 'output.txt').read_text())


#: The guided fuzzer on a reader that refuses as it should, or breaks its promise on long inputs.
_SABOTAGED = """
import sys
sys.path.insert(0, {repository!r})
import atheris
from pathlib import Path
from projects.CVT_IO.torture.fuzz import guided, targets

@atheris.instrument_func
def read(path):
    if len(path.read_bytes()) > 10:
        raise KeyError('long')

target = targets.Target('sabotaged', '.bin', [b'a seed'], targets.mutate_opcodes, lambda _: read)
targets.all_targets = lambda folder: {{'sabotaged': target}}
guided._fuzz(atheris, 'sabotaged', 500, Path({folder!r}), 30)
"""


@pytest.mark.skipif(not is_available(), reason='Atheris has no wheel for this platform')
def test_sabotage_is_noticed_by_coverage_too(tmp_path):
    script = _SABOTAGED.format(repository=str(REPOSITORY), folder=str(tmp_path))
    subprocess.run([sys.executable, '-c', script], check=True, capture_output=True, cwd=tmp_path, timeout=120)
    ledger = Ledger(tmp_path)
    (found,) = ledger.problems()
    assert "raised KeyError: 'long'" in found and 0 < ledger.broken < ledger.tried >= 500
