"""A config that trains in seconds."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from projects.CVT_IO.cvt_io.runtime.config import load_config
from projects.CVT_IO.torture.tiny import CONFIG as TOY_CONFIG
from projects.CVT_IO.torture.tiny import TINY_OPTIONS, as_arguments

REPO = Path(__file__).resolve().parents[1]

__all__ = ['REPO', 'TINY_OPTIONS', 'TOY_CONFIG', 'as_arguments', 'tiny_config']


def tiny_config(data_root: Path, work_dir: Path, **options) -> Config:
    """The tiny config on a data set; ``options`` with ``__`` for dots."""
    extra = {key.replace('__', '.'): value for key, value in options.items()}
    return load_config(str(TOY_CONFIG), TINY_OPTIONS | {'data_root': str(data_root)} | extra, str(work_dir))
