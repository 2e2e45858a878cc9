"""Processes that work together, forked from a prepared one: importing everything takes longer than most trials."""

from __future__ import annotations

import io
import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
from mmengine.config import Config

from tests.tiny import REPO

#: The server has computed nothing and runs one thread, so that forking it is sound.
CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload(['projects.CVT_IO.cvt_io', 'mmdet3d.visualization', 'torch.utils.tensorboard'])
TIMEOUT = timedelta(seconds=60)


def run_team(size: int, work: Callable, *args: Any) -> list[Any]:
    """Calls ``work(*args)`` in each of so many processes of one gloo group; a single one has no group.

    Args:
        size: processes.
        work: of a module, as it is sent by its name.
        *args: for each process the same.

    Returns:
        What each returned, by rank; arrays rather than tensors, as those would travel in shared memory.

    Raises:
        Exception: that of the first process in which ``work`` failed.
    """
    with TemporaryDirectory() as folder, ProcessPoolExecutor(size, CONTEXT) as pool:
        members = [pool.submit(_member, rank, size, Path(folder, 'store'), work, args) for rank in range(size)]
        return [member.result() for member in members]


def run_tool_in_team(size: int, tool: str, *words: object) -> None:
    """Runs a tool in each process of a team, as torchrun would.

    Raises:
        RuntimeError: it exited with an error; its message.
    """
    run_team(size, _run_tool, tool, *words, '--launcher', 'none' if size == 1 else 'pytorch')


def _run_tool(tool: str, *words: object) -> None:
    path, output = str(REPO / tool), io.StringIO()
    with (
        mock.patch.object(sys, 'argv', [path, *map(str, words)]),
        mock.patch.object(Config, 'pretty_text', ''),  # for the log; takes longer than testing a few frames
        redirect_stdout(output),
        redirect_stderr(output),
    ):
        try:
            runpy.run_path(path, run_name='__main__')
        except SystemExit as end:
            raise RuntimeError(f'{output.getvalue()[-2000:]}\n{tool}: {end.code}') from end


def _member(rank: int, size: int, store: Path, work: Callable, args: tuple) -> Any:
    torch.set_num_threads(1)
    os.environ |= {'RANK': str(rank), 'LOCAL_RANK': str(rank), 'WORLD_SIZE': str(size)}  # as torchrun does
    if size == 1:
        return work(*args)
    torch.distributed.init_process_group('gloo', f'file://{store}', TIMEOUT, rank=rank, world_size=size)
    try:
        return work(*args)
    finally:  # the others must not wait for a process whose work failed
        torch.distributed.destroy_process_group()
