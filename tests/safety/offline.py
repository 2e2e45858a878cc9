"""Trains, validates, tests and predicts in a process in which every use of the network is an error.

``python offline.py DATA_ROOT FOLDER`` prints, at last, which parts were done.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))

_NETWORK = ('connect', 'bind', 'sendto', 'sendmsg', 'getaddrinfo', 'gethostbyname', 'gethostbyaddr')


def forbid(event: str, arguments: tuple[Any, ...]) -> None:
    """Hook: processes of this machine may talk by Unix sockets, whose addresses are no tuples."""
    family, _, name = event.partition('.')
    if event == 'urllib.Request' or (
        family == 'socket' and name in _NETWORK and not isinstance(arguments[1], str | bytes)
    ):
        raise PermissionError(f'the network is asked: {event} {arguments!r}')


sys.addaudithook(forbid)


def main(root: Path, folder: Path) -> None:
    """Does all of it, imports included; a part that fails ends the process."""
    from projects.CVT_IO.cvt_io.apis import CVTIOInferencer
    from tests.tiny import TINY_OPTIONS, TOY_CONFIG, as_arguments
    from tests.tools.in_process import run_tool

    options = ('--cfg-options', *as_arguments(TINY_OPTIONS | {'data_root': root, 'train_cfg.max_iters': 2}))
    work = ('--work-dir', folder / 'work')
    _done(run_tool('tools/train.py', TOY_CONFIG, *work, *options))
    _done(run_tool('tools/test.py', TOY_CONFIG, folder / 'work/iter_2.pth', *work, *options))
    inferencer = CVTIOInferencer('cvt_io_v2_2_toy', device='cpu', cfg_options={'data_root': str(root)})
    assert inferencer('val', out_dir=folder / 'out')['predictions']
    print('trained, tested, predicted')


def _done(end: str | int | None) -> None:
    assert end is None, end


if __name__ == '__main__':
    main(*map(Path, sys.argv[1:]))
