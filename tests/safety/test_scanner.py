"""The scanners see each construct, under whatever name, and leave its harmless twin alone."""

from __future__ import annotations

import pytest

from tests.safety.scanner import scan
from tests.safety.shell import scan_shell

UNSAFE = [
    # Code from texts.
    'eval(text)',
    'exec(text)',
    'compile(text, "x", "exec")',
    '__import__(name)',
    'call = eval',
    'map(exec, texts)',
    'import builtins\nbuiltins.eval(text)',
    'from builtins import exec as run',
    '__builtins__["eval"]',
    'getattr(__builtins__, name)',
    'import runpy\nrunpy.run_path(path)',
    'from code import interact',
    'import importlib\nimportlib.import_module(name)',
    'from importlib import import_module as load\nload(f"{name}")',
    'import importlib.util as u\nu.spec_from_file_location("x", path)',
    'from mmengine import Config\nConfig.fromfile(path)',
    'from mmengine.config import Config\nConfig.fromstring(text, ".py")',
    'import mmengine\nmmengine.Config.fromfile(path)',
    'import ctypes',
    'import torch\ntorch.jit.load(path)',
    # Pickles.
    'import pickle\npickle.load(file)',
    'import pickle as p\np.loads(data)',
    'from pickle import loads',
    'from pickle import Unpickler as U',
    'import pickle\npickle._Unpickler(file).load()',
    'import pickle\ngetattr(pickle, "loads")(data)',
    'import pickle\ngetattr(pickle, name)(data)',
    'import pickle\nmodule = pickle',
    'import _pickle',
    'def inner():\n    import pickle\n    return pickle.loads(data)',
    'import marshal',
    'import shelve',
    'import dill',
    'import joblib',
    'from cloudpickle import load',
    'import pandas as pd\npd.read_pickle(path)',
    'import numpy as np\nnp.load(path, allow_pickle=True)',
    'import numpy as np\nnp.load(path, allow_pickle=flag)',
    'import torch\ntorch.load(path)',
    'import torch\ntorch.load(path, weights_only=False)',
    'import torch\ntorch.load(path, weights_only=flag)',
    'import torch\ntorch.load(path, **options)',
    'from torch import load\nload(path)',
    'import torch\ntorch.hub.load_state_dict_from_url(url, weights_only=True)',
    'import torch\ntorch.hub.load("a/b", "c")',
    'from torch.utils import model_zoo',
    'import torch\ntorch.serialization.add_safe_globals([A])',
    'import os\nos.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"',
    'import mmengine\nmmengine.load("x.pkl")',
    'from mmengine.fileio import load',
    'from mmengine.runner import load_checkpoint',
    'from mmengine.runner.checkpoint import CheckpointLoader',
    'from mmengine.runner import CheckpointLoader',
    'runner.load_checkpoint(path)',
    'runner.resume(path)',
    'from mmdet3d.apis import init_model',
    'import yaml\nyaml.load(text)',
    'import yaml\nyaml.load(text, Loader=yaml.SafeLoader)',
    'import yaml\nyaml.unsafe_load(text)',
    'from yaml import full_load',
    'from yaml import CLoader as Loader',
    # Programs.
    'import os\nos.system(text)',
    'from os import popen',
    'import os\nos.execvp(name, words)',
    'import os\ngetattr(os, "system")(text)',
    'import subprocess\nsubprocess.run(words)',
    'import subprocess\nsubprocess.run(words, shell=True)',
    'import subprocess\nsubprocess.run(words, shell=flag)',
    'from subprocess import getoutput',
    'from subprocess import Popen as P\nP(["bash", "-c", text])',
    'import pty',
    # The network.
    'import socket',
    'import requests',
    'import urllib.request',
    'from urllib import request',
    'from urllib.request import urlopen as fetch',
    'from http.client import HTTPConnection',
    'import http\nhttp.client',
    'import httpx',
    'import webbrowser',
    'from huggingface_hub import hf_hub_download',
    'from mmengine.fileio import get as read',
    'from mmengine import fileio\nfileio.get_text(path)',
    'session.get(url, verify=False)',
    'hub.load(name, trust_repo=True)',
    'model.from_pretrained(name, trust_remote_code=True)',
    # Files.
    'import tempfile\ntempfile.mktemp()',
    'from tempfile import mktemp as name',
    'path = "/tmp/cache"',
    'archive.extractall(folder)',
    'import tarfile',
    'import shutil\nshutil.unpack_archive(path)',
]
SAFE = [
    'model.eval()',
    'import re\nre.compile(pattern)',
    'def eval_report(): ...',
    'import torch\ntorch.load(path, map_location="cpu", weights_only=True)',
    'import numpy as np\nnp.load(path)\nnp.load(path, allow_pickle=False)',
    'import pickle\npickle.dumps(value)\npickle.UnpicklingError',
    'import yaml\nyaml.safe_load(text)\nyaml.YAMLError',
    'from urllib.parse import urlsplit',
    'from http import HTTPStatus',
    'import tempfile\ntempfile.TemporaryDirectory()',
    'import os\nos.replace(a, b)\ngetattr(os, "O_BINARY", 0)',
    'import zipfile\nzipfile.ZipFile(path).read(entry)',
    'getattr(model, name)',
    'from importlib.resources import files',
    'from mmengine.runner import find_latest_checkpoint',
    'import subprocess\nsubprocess.DEVNULL',
    'from .load import pickle_names',
]


@pytest.mark.parametrize('source', UNSAFE)
def test_unsafe_constructs_are_found(source):
    assert scan(source), source


@pytest.mark.parametrize('source', SAFE)
def test_harmless_twins_are_not(source):
    assert scan(source) == [], source


def test_a_finding_says_where_and_why():
    (finding,) = scan('import torch\n\n\nstate = torch.load(path)\n')
    assert (finding.line, finding.what, finding.why) == (4, 'torch.load', 'without weights_only=True')


def test_assertions_are_found_outside_of_tests():
    assert [finding.what for finding in scan('assert path', asserts=False)] == ['assert']
    assert scan('assert path') == []
    assert scan('assert x is not None and isinstance(x.y, int)', asserts=False) == []
    assert scan('assert x is not None and x > 0', asserts=False)


@pytest.mark.parametrize('source', ['import os', 'from a import b', 'a = open("x")', 'a = dict(b=c.d())', 'a.b()'])
def test_configs_only_name_values(source):
    assert scan(source, config=True)
    assert scan("_base_ = ['x.py']\na = dict(b=list(range(3)), c=_base_.d)", config=True) == []


def test_relative_imports_are_no_library():
    assert scan('from . import socket', package='projects.x') == []
    assert scan('from .requests import get', package='projects.x') == []


@pytest.mark.parametrize(
    ('line', 'what'),
    [
        ('eval "$1"', 'eval'),
        ('curl -s "$URL" | sh', 'a download'),
        ('cat x | bash', 'a shell that reads from a pipe'),
        ('bash -c "$1"', 'a shell that is given a text'),
        ('sudo make', 'sudo'),
        ('x=`ls`', 'backticks'),
        ('chmod 777 x', 'files that everybody may write'),
        ('rm $1', '$1 outside of quotes'),
        ('rm -rf ${HOME}/x', '${HOME}/x outside of quotes'),
        ('python "$(dirname $0)"/x.py', '$0 outside of quotes'),
        ('run $@', '$@ outside of quotes'),
    ],
)
def test_unsafe_shell_is_found(line, what):
    assert (2, what) in scan_shell(f'set -euo pipefail\n{line}\n')


@pytest.mark.parametrize(
    'line',
    [
        'rm "$1" # not $2',
        'name=$1',
        'local x=$(dirname "$0")',
        'awk \'{ print $1 }\' "$file"',
        'python "$(dirname "$0")/x.py" "${@:3}"',
        'case $1 in x) ;; esac',
        'run ${WORDS:-}',
        'say "curl is needed"',
        'chmod 755 x',
    ],
)
def test_safe_shell_is_not(line):
    assert scan_shell(f'set -euo pipefail\n{line}\n', ('${WORDS:-}',)) == []


def test_a_script_that_goes_on_after_errors_is_found():
    assert scan_shell('#!/usr/bin/env bash\nls\n') == [(1, 'expected set -euo pipefail')]
