"""Runs a tool: in this process, as importing everything takes longer than most tests, or as a user does."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from unittest import mock

from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer

from projects.CVT_IO.cvt_io.runtime import command_line as cli
from tests.tiny import REPO


def run_tool(tool: str, *words: object) -> str | int | None:
    """What the tool exits with: None, or the message that Python prints before it exits with code 1."""
    spec = importlib.util.spec_from_file_location('tool_under_test', REPO / tool)
    module = importlib.util.module_from_spec(spec)
    for manager in (MMLogger, MessageHub, Visualizer):
        manager._instance_dict.clear()  # named by the second, so a run could get those of the one before
    with mock.patch('sys.argv', [tool, *map(str, words)]):
        spec.loader.exec_module(module)
        try:
            return cli.run(module.main)
        except SystemExit as end:
            return end.code


def run_process(*words: object, cwd: object, **env: str) -> subprocess.CompletedProcess:
    """Python with these words in a process of its own, without display and without our PYTHONPATH."""
    environment = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'DISPLAY')}
    environment |= {'OMP_NUM_THREADS': '1'} | env
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400)
