"""Everything in the project that reads files of others, and what reading one must not do."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.model import BaseModel

from projects.CVT_IO.cvt_io.apis.inputs import open_source
from projects.CVT_IO.cvt_io.datasets import CVTIONuScenesDataset
from projects.CVT_IO.cvt_io.datasets.decoding import EncodedImage
from projects.CVT_IO.cvt_io.deploy.info import GraphInfo
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio.checkpoint import read_checkpoint
from projects.CVT_IO.cvt_io.fileio.restricted_pickle import RestrictedUnpickler
from projects.CVT_IO.cvt_io.labels.codec import read_label
from projects.CVT_IO.cvt_io.models.pretrained import load_pretrained
from projects.CVT_IO.cvt_io.runtime.config import load_config
from projects.CVT_IO.cvt_io.zoo.catalogue import read_catalogue
from projects.CVT_IO.cvt_io.zoo.original import convert_original
from projects.CVT_IO.cvt_io.zoo.verify import identify
from tests.audit import watch
from tests.safety.payloads import CANARY
from tests.tiny import TINY_GRID, TINY_OPTIONS, TOY_CONFIG

Reader = Callable[[Path], Any]
#: Bounds of one file, neither of which depends on the machine's load: CPU time, and address space beyond what is used.
CPU_SECONDS, MEMORY = 20.0, 2**30


def _read_dataset(path: Path) -> None:
    dataset = CVTIONuScenesDataset(path.name, str(path.parent), TINY_GRID.to_dict(), with_labels=False)
    for index in range(len(dataset)):
        dataset.get_data_info(index)


def _read_source(path: Path) -> None:
    source = open_source(path, Config({'test_dataloader': {'dataset': {'bev_grid': TINY_GRID.to_dict()}}}))
    for item in source.items:
        source.parse(item)


@cache
def _tiny_model() -> BaseModel:
    return MODELS.build(load_config(str(TOY_CONFIG), TINY_OPTIONS | {'model.backbone.init_cfg': None}).model)


def _convert_original(path: Path) -> None:
    convert_original(path, _tiny_model())


READERS: Mapping[str, Reader] = {
    'checkpoint': read_checkpoint,
    'pre-trained weights': lambda path: load_pretrained(str(path)),
    'original checkpoint': lambda path: read_checkpoint(path, strict=False),
    'converted checkpoint': _convert_original,
    'restricted unpickler': lambda path: RestrictedUnpickler(path.read_bytes(), str(path), strict=False).load(),
    'input': _read_source,
    'data set': _read_dataset,
    'image': lambda path: EncodedImage.read(str(path)).decode(),
    'label': read_label,
    'catalogue': read_catalogue,
    'ONNX graph': GraphInfo.read,
    'verification': lambda path: identify(path, {}),
}


class TooLong(BaseException):
    """Not an ``Exception``, which a reader may catch."""


@contextmanager
def limited() -> Iterator[None]:
    """Bounds the CPU time and the memory of what runs in it."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong

    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, before)


@contextmanager
def quiet() -> Iterator[None]:
    """Discards what C libraries print about damaged files."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open('wb') as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def fault_of(reader: Reader, path: Path, victim: Path | None = None) -> str | None:
    """What is wrong with how a file is read; ``None`` if it returns, or raises one of the project's own errors.

    Args:
        reader: one of :data:`READERS`.
        path: the file.
        victim: folder that a payload would make.
    """
    fault = None
    sys.modules.pop(CANARY, None)
    with watch() as seen:
        try:
            with limited():
                reader(path)
        except DataError:
            pass
        except TooLong:
            fault = f'took more than {CPU_SECONDS} s'
        except BaseException as error:
            fault = f'{type(error).__name__}: {error!s:.200}'
    if victim is not None and victim.exists():
        victim.rmdir()
        return 'the payload has run'
    if CANARY in sys.modules:
        return 'a module was imported'
    return f'did {seen[0]}' if seen else fault
