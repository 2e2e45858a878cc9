"""Runs of the tools as a user starts them, hit from outside as a system would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Within which all must be over, from the blow on.
DEADLINE = 60.0
SECONDS_TO_START = 240.0
SECONDS_TO_LEAVE = 15.0  # a data worker looks every 5 whether its process is there


@dataclass(frozen=True)
class Ending:
    """How a run ended: seconds count from the blow; ``left`` processes outlived the command."""

    returncode: int
    seconds: float
    output: str
    left: int

    def as_promised(self, cause: str) -> bool:
        """Whether all ended in time with an error, and the last lines name the cause (a pattern)."""
        in_time = self.returncode != 0 and self.seconds <= DEADLINE and self.left == 0
        return in_time and re.search(cause, summary(self.output)) is not None


def summary(output: str) -> str:
    """The one place to look at: torchrun's root cause, else the last line."""
    _, found, root = output.rpartition('Root Cause (first observed failure):')
    return root if found else ''.join(output.strip().splitlines()[-1:])


def run_and_hit(
    command: Sequence[object], log: Path, until: str, hit: Callable[[psutil.Process], None], delay: float = 0.0
) -> Ending:
    """Starts a command and hits it so many seconds after a pattern has appeared in its output, kept in a log."""
    environment = os.environ | {'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'}
    with log.open('w') as output:
        process = subprocess.Popen([*map(str, command)], stdout=output, stderr=subprocess.STDOUT, env=environment)
    launcher = psutil.Process(process.pid)
    try:
        _await(lambda: re.search(until, log.read_text()) is not None, process, log)
        time.sleep(delay)
        tree = launcher.children(recursive=True)
        start = time.monotonic()
        hit(launcher)
        returncode = process.wait(2 * DEADLINE)
        seconds = time.monotonic() - start
        _, left = psutil.wait_procs(tree, timeout=SECONDS_TO_LEAVE)
        return Ending(returncode, seconds, log.read_text(), len(left))
    finally:
        for survivor in [*launcher.children(recursive=True), launcher] if process.poll() is None else []:
            survivor.kill()


def ranks(launcher: psutil.Process) -> list[psutil.Process]:
    """The processes of a run, in the order of their ranks."""
    return sorted(launcher.children(), key=lambda process: int(process.environ()['RANK']))


def data_workers(process: psutil.Process) -> list[psutil.Process]:
    """The data workers of a process: forks, with its own command line."""
    return [child for child in process.children() if child.cmdline() == process.cmdline()]


def _await(reached: Callable[[], bool], process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while not reached():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f'{process.args!r}: did not come so far\n{log.read_text()[-2000:]}')
        time.sleep(0.02)
