"""Training runs that die at a chosen moment. Started as a process, it imports everything once and forks a run a line.

A line is ``{"arguments": [...], "output": FILE, "death": null | {"moment": 17} | {"seconds": 0.8}, "share": 0.4}``, the
arguments being those of ``tools/train.py``; the answer is the child's wait status and how long it lived. A run to which
nothing happens leaves the list of its moments beside its output; a run that dies at one of them ends right before it,
or, where a file is opened for writing, when the ``share`` of it has been written.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from mmdet3d.utils import register_all_modules
from mmengine.config import config as mmengine_config
from mmengine.runner import runner as mmengine_runner
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook

from projects.CVT_IO.cvt_io.models import CVTIOSegmentor
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from tests.tiny import REPO

SUFFIX = '.moments'


class Moments:
    """Counts forward passes, optimizer steps and changes of files in a folder, and dies before one of them."""

    def __init__(self, folder: str, death: int | None, share: float) -> None:
        self.folder = folder
        self.death = death
        self.share = share
        self.names: list[str] = []
        self.process = os.getpid()
        register_module_forward_pre_hook(self._on_forward)
        register_optimizer_step_pre_hook(lambda *_: self._happens('optimizer step'))
        sys.addaudithook(self._on_event)

    def _on_forward(self, module: torch.nn.Module, inputs: Any) -> None:
        if isinstance(module, CVTIOSegmentor):
            self._happens('training' if module.training else 'validation')

    def _on_event(self, event: str, arguments: tuple) -> None:
        if event not in ('open', 'os.rename', 'os.remove') or not isinstance(arguments[0], str | os.PathLike):
            return
        path = os.fspath(arguments[1] if event == 'os.rename' else arguments[0])
        if not str(path).startswith(self.folder):
            return
        name = Path(path).name
        if event != 'open':
            self._happens(f'{event[3:]} {name}')
        elif arguments[2] & (os.O_WRONLY | os.O_RDWR):
            self._happens(f'write {name}', path)

    def _happens(self, name: str, written: str | None = None) -> None:
        if os.getpid() != self.process:  # a data worker
            return
        self.names.append(name)
        if len(self.names) - 1 != self.death:
            return
        if written is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            _die_writing(Path(written), self.share)


def _die_writing(path: Path, share: float) -> None:
    """Sets a limit of the file's size, at which the system kills the process in the middle of its writing."""
    there = path.stat().st_size if path.exists() else 0
    expected = 400_000 if '.pth' in path.suffixes else 200
    limit = there + max(int(share * expected), 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def live(train: ModuleType, request: dict[str, Any]) -> None:
    """One run, in the forked process, which it ends."""
    output = os.open(request['output'], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    arguments = request['arguments']
    death = (request['death'] or {}).get('moment')
    moments = Moments(arguments[arguments.index('--work-dir') + 1], death, request['share'])
    sys.argv = ['tools/train.py', *arguments]
    code: Any = 1
    try:
        cli.run(train.main)
        code = 0
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr, flush=True)
            code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    Path(request['output'] + SUFFIX).write_text(json.dumps(moments.names))
    sys.stderr.flush()
    os._exit(code)


def wait(child: int, seconds: float | None) -> dict[str, float]:
    """Waits for a run to end, or kills it after so many seconds."""
    started = time.monotonic()
    ended, status = 0, 0
    while not ended:
        ended, status = os.waitpid(child, os.WNOHANG)
        lived = time.monotonic() - started
        if not ended and seconds is not None and lived > seconds:
            os.kill(child, signal.SIGKILL)
            seconds = None
        time.sleep(0.002)
    return dict(code=os.waitstatus_to_exitcode(status), seconds=lived)


def prepare() -> None:
    """Does once what takes each start longer than its training: imports, asking compilers, laying out of configs."""
    register_all_modules(init_default_scope=False)
    environment = mmengine_runner.collect_env()
    mmengine_runner.collect_env = lambda: environment
    mmengine_config.FormatCode = lambda text, **_: (text, True)


def serve() -> None:
    """Answers requests until there are no more."""
    torch.set_num_threads(1)
    loader = SourceFileLoader('train_tool', str(REPO / 'tools/train.py'))
    train = ModuleType(loader.name)
    train.__file__ = loader.path
    loader.exec_module(train)
    prepare()
    answers = os.fdopen(os.dup(1), 'w')
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            live(train, request)
        print(json.dumps(wait(child, (request['death'] or {}).get('seconds'))), file=answers, flush=True)


if __name__ == '__main__':
    serve()
