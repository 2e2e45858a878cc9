"""Runs a tool in this process, as importing everything takes longer than most tests."""

from __future__ import annotations

import importlib.util
from unittest import mock

from projects.CVT_IO.cvt_io.runtime import command_line as cli
from tests.tiny import REPO


def run_tool(tool: str, *words: object) -> str | int | None:
    """What the tool exits with: None, or the message that Python prints before it exits with code 1."""
    spec = importlib.util.spec_from_file_location('tool_under_test', REPO / tool)
    module = importlib.util.module_from_spec(spec)
    with mock.patch('sys.argv', [tool, *map(str, words)]):
        spec.loader.exec_module(module)
        try:
            return cli.run(module.main)
        except SystemExit as end:
            return end.code
