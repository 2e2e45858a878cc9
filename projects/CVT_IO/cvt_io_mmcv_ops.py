"""Stands in for mmcv's compiled operators, so that mmcv-lite is enough.

mmdet and mmdet3d import ``mmcv.ops``, which looks up every operator in the compiled module ``mmcv._ext``. mmcv-lite has
no such module, and CVT-IO calls no operator. Importing this file appends a finder for ``mmcv._ext`` to
``sys.meta_path``. It comes last, so a compiled ``mmcv._ext`` always takes precedence, wherever mmcv is installed.

CVT-IO imports the file itself. ``pip install -e .`` also copies it to site-packages, with a ``.pth`` file that imports
it when Python starts, so that mmdet3d's stock tools find the stand-in too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec  # noqa: TID251 - the module is defined in this file
from types import ModuleType
from typing import Any, NoReturn


def operator(name: str) -> Callable:
    """Attribute of ``mmcv._ext``: a function that raises RuntimeError when it is called."""
    if name.startswith('__'):
        raise AttributeError(name)
    if name in ('get_compiler_version', 'get_compiling_cuda_version'):  # part of mmcv's environment report
        return lambda: 'not compiled'

    def missing(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            f'mmcv operator {name!r} is not compiled: this environment has mmcv-lite. '
            'Build mmcv with its operators: make env MMCV_OPS=1 (see docs/install.md)'
        )

    return missing


class OperatorFinder:
    """Finder and loader of the stand-in."""

    @staticmethod
    def find_spec(fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, OperatorFinder) if fullname == 'mmcv._ext' else None  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        return None  # an ordinary module

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        module.__getattr__ = operator  # type: ignore[method-assign]


if not any(getattr(finder, '__name__', '') == OperatorFinder.__name__ for finder in sys.meta_path):
    sys.meta_path.append(OperatorFinder)
