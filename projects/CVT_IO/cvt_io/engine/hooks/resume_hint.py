"""The command line that resumes a run."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise

#: Options of srun by the variables in which Slurm records them.
_SRUN = {
    'partition': 'SLURM_JOB_PARTITION',
    'nodes': 'SLURM_STEP_NUM_NODES',
    'ntasks': 'SLURM_STEP_NUM_TASKS',
    'ntasks-per-node': 'SLURM_NTASKS_PER_NODE',
    'cpus-per-task': 'SLURM_CPUS_PER_TASK',
}
_TORCHRUN = {'nproc_per_node': 'LOCAL_WORLD_SIZE', 'nnodes': 'GROUP_WORLD_SIZE'}
_SEVERAL_NODES = {'node_rank': 'GROUP_RANK', 'master_addr': 'MASTER_ADDR', 'master_port': 'MASTER_PORT'}


def resume_command(
    words: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    checkpoint: str | None = None,
    options: Sequence[str] = (),
) -> str:
    """The command line that resumes a run, quoted for a shell.

    Args:
        words: interpreter, script and arguments of the run; ``None``: of this process.
        environment: of the run; the variables of torchrun and Slurm tell how the processes were launched.
        checkpoint: to resume from; ``None``: the latest.
        options: further ``--cfg-options``.
    """
    python, *rest = [sys.executable, *sys.argv] if words is None else words
    kept: list[str] = []
    for word, previous in zip(rest, ['', *rest], strict=False):
        value_of_resume = previous == '--resume' and not word.startswith('-')
        if word.partition('=')[0] != '--resume' and not value_of_resume:
            kept.append(word)
    if options and '--cfg-options' in kept:  # a second one would replace the first
        at = kept.index('--cfg-options') + 1
        end = next((i for i in range(at, len(kept)) if kept[i].startswith('--')), len(kept))
        kept[end:end] = options
    elif options:
        kept += ['--cfg-options', *options]
    resume = ['--resume'] if checkpoint is None else ['--resume', checkpoint]
    return shlex.join([*_launcher(python, kept, environment), *kept, *resume])


def _launcher(python: str, words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    if 'TORCHELASTIC_RUN_ID' in environment:
        several = environment['GROUP_WORLD_SIZE'] != '1'
        names = _TORCHRUN | _SEVERAL_NODES if several else {'nproc_per_node': 'LOCAL_WORLD_SIZE'}
        flags = [f'--{flag}={environment[name]}' for flag, name in names.items()]
        return [python, '-m', 'torch.distributed.run', *([] if several else ['--standalone']), *flags]
    if '--launcher=slurm' in words or ('--launcher', 'slurm') in pairwise(words):
        flags = [f'--{flag}={environment[name]}' for flag, name in _SRUN.items() if name in environment]
        return ['srun', *flags, python]
    return [python]
