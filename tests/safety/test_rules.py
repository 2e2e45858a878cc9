"""The linter's rules for the product find what they are meant to find."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.tiny import REPO

UNSAFE = [
    'eval(text)',
    'exec(text)',
    'import pickle; pickle.loads(data)',
    'from pickle import Unpickler',
    'import torch; torch.load(path, weights_only=True)',
    'from torch import load',
    'import torch; torch.hub.load_state_dict_from_url(url)',
    'import torch; torch.jit.load(path)',
    'from mmengine.runner import load_checkpoint',
    'from mmengine.runner.checkpoint import CheckpointLoader',
    'from mmengine.fileio import load',
    'from mmengine.fileio import get as read',
    'from mmengine import Config; Config.fromfile(path)',
    'from mmdet3d.apis import init_model',
    'import yaml; yaml.load(text, Loader=yaml.Loader)',
    'from yaml import full_load',
    'import os; os.system(text)',
    'import subprocess; subprocess.run(text, shell=True)',
    'import socket',
    'from urllib.request import urlopen as fetch',
    'import requests',
    'import tarfile',
    'import tempfile; tempfile.mktemp()',
    'path = "/tmp/cache"',
    'assert path',
]
SAFE = [
    'model.eval()',
    'import re; re.compile(pattern)',
    'import yaml; yaml.safe_load(text)',
    'from urllib.parse import urlsplit',
    'from mmengine.runner import find_latest_checkpoint',
    'import zipfile; zipfile.ZipFile(path).read(entry)',
]


def test_rules():
    command = [sys.executable, '-m', 'ruff', 'check', '--select', 'S,TID251', '--output-format', 'json']
    source = '\n'.join(UNSAFE + SAFE) + '\n'
    result = subprocess.run(
        [*command, '--stdin-filename', REPO / 'projects/CVT_IO/x.py', '-'],
        input=source, text=True, capture_output=True, cwd=REPO,
    )  # fmt: skip
    found = {finding['location']['row'] for finding in json.loads(result.stdout)}
    assert found == set(range(1, len(UNSAFE) + 1))
