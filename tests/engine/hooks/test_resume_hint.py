"""The command line that resumes a run."""

from __future__ import annotations

import shlex

import pytest

from projects.CVT_IO.cvt_io.engine.hooks.resume_hint import resume_command

LAUNCHED = dict(TORCHELASTIC_RUN_ID='x', LOCAL_WORLD_SIZE='2', GROUP_WORLD_SIZE='1', GROUP_RANK='0')
SLURM = dict(
    SLURM_JOB_PARTITION='gpu', SLURM_STEP_NUM_NODES='2', SLURM_STEP_NUM_TASKS='8', SLURM_NTASKS_PER_NODE='4', HOME='/x'
)


@pytest.mark.parametrize(
    ('words', 'environment', 'expected'),
    [
        ('py train.py c.py', {}, 'py train.py c.py --resume'),
        ('py train.py c.py --resume', {}, 'py train.py c.py --resume'),
        ('py train.py --resume=a.pth c.py', {}, 'py train.py c.py --resume'),
        ('py train.py c.py --resume a.pth --amp', {}, 'py train.py c.py --amp --resume'),
        ('py train.py c.py --resume --amp', {}, 'py train.py c.py --amp --resume'),
        ('py train.py c.py --cfg-options a=1 b=2', {}, 'py train.py c.py --cfg-options a=1 b=2 --resume'),
        (
            'py train.py c.py --launcher pytorch',
            LAUNCHED,
            'py -m torch.distributed.run --standalone --nproc_per_node=2 train.py c.py --launcher pytorch --resume',
        ),
        (
            'py train.py c.py',
            LAUNCHED | dict(GROUP_WORLD_SIZE='3', GROUP_RANK='1', MASTER_ADDR='a', MASTER_PORT='9'),
            'py -m torch.distributed.run --nproc_per_node=2 --nnodes=3 --node_rank=1 --master_addr=a --master_port=9 '
            'train.py c.py --resume',
        ),
        (
            'py train.py c.py --launcher slurm',
            SLURM,
            'srun --partition=gpu --nodes=2 --ntasks=8 --ntasks-per-node=4 py train.py c.py --launcher slurm --resume',
        ),
        ('py train.py c.py --launcher=slurm', {}, 'srun py train.py c.py --launcher=slurm --resume'),
        ('py train.py c.py', SLURM, 'py train.py c.py --resume'),  # within a batch script, not under srun
    ],
)
def test_command(words, environment, expected):
    assert resume_command(words.split(), environment) == expected


def test_command_is_quoted():
    """A shell gets the words back."""
    words = ['/my envs/py', 'train.py', 'a b.py', '--cfg-options', "names=('x','y')", 'root=$HOME']
    assert shlex.split(resume_command(words, {})) == [*words, '--resume']


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        ('py train.py c.py', 'py train.py c.py --cfg-options x=1 --resume k.pth'),
        # A second --cfg-options would replace the first.
        ('py train.py c.py --cfg-options a=1 --amp', 'py train.py c.py --cfg-options a=1 x=1 --amp --resume k.pth'),
        ('py train.py c.py --resume j.pth --cfg-options a=1', 'py train.py c.py --cfg-options a=1 x=1 --resume k.pth'),
    ],
)
def test_checkpoint_and_options(words, expected):
    assert resume_command(words.split(), {}, 'k.pth', ['x=1']) == expected
