"""The set-up script, run with fake interpreters, compilers and disks: no package is installed and nothing is built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec
from pathlib import Path

import pytest
import torch
from mmcv.utils.ext_loader import load_ext
from packaging.requirements import Requirement

from projects.CVT_IO.cvt_io_mmcv_ops import OperatorFinder

ROOT = Path(__file__).parents[1]
SHELL_TOOLS = [
    'awk', 'bash', 'cat', 'chmod', 'cp', 'df', 'dirname', 'env', 'grep', 'mkdir', 'mktemp', 'mv', 'nproc', 'rm', 'sed',
    'sha256sum',
]  # fmt: skip

# Answers what the script asks a Python; pip's calls go to $PIP_LOG; `-m venv` and `-m pip wheel` leave their files.
FAKE_PYTHON = """#!/usr/bin/env bash
here=${BASH_SOURCE[0]}
torch=${FAKE_TORCH:-2.13.0+cpu}
case "$*" in
  *torch.__version__*sys.version_info*) echo "torch-$torch-cp311-linux_x86_64" ;;
  *'"torch=="'*) echo "torch==$torch" ;;
  *sys.version_info*) echo "${FAKE_VERSION:-3.11}" ;;
  *ensurepip*) exit "${FAKE_NO_VENV:-0}" ;;
  *sysconfig*) echo "${FAKE_INCLUDE:-/nowhere}" ;;
  *'version("mmcv")'*) exit "${FAKE_NO_MMCV:-1}" ;;
  *'import cv2'*) exit "${FAKE_IMPORT_FAILS:-0}" ;;
  '-m venv '*) folder=${!#}; mkdir -p "$folder/bin" "$folder/lib"; cp "$here" "$folder/bin/python" ;;
  '-m pip --version') ;;
  '-m pip '*)
    echo "${CUDA_VISIBLE_DEVICES-unset}|$*" >>"$PIP_LOG"
    case "$*" in *"${FAIL_AT:-no such call}"*) exit 1 ;; esac
    if [ "$3" = wheel ]; then
      while [ "$1" != --wheel-dir ]; do shift; done
      : >"$2/mmcv-2.1.0-fake.whl"
    fi ;;
  *) echo "unexpected call: $*" >&2; exit 99 ;;
esac
"""


class Machine:
    """A checkout, a home and a PATH of their own. ``run`` starts the set-up there; attributes say where things are."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.home, self.bin = folder / 'checkout', folder / 'home', folder / 'bin'
        self.pip_log = folder / 'pip.log'
        self.wheels = self.home / '.cache/cvt-io/wheels'
        for path in (self.checkout / 'tools/misc', self.home, self.bin, folder / 'include'):
            path.mkdir(parents=True)
        shutil.copy(ROOT / 'tools/misc/setup_env.sh', self.checkout / 'tools/misc')
        for name in ('pyproject.toml', 'setup.py', 'requirements.txt'):
            shutil.copy(ROOT / name, self.checkout)
        shutil.copytree(ROOT / 'requirements', self.checkout / 'requirements')
        for tool in SHELL_TOOLS:
            found = shutil.which(tool)
            assert found, f'the tests need {tool}'
            (self.bin / tool).symlink_to(found)
        (folder / 'include/Python.h').touch()
        self.env = {'HOME': str(self.home), 'PATH': str(self.bin), 'PIP_LOG': str(self.pip_log)}
        self.env['FAKE_INCLUDE'] = str(folder / 'include')
        self.add('python3.11', FAKE_PYTHON)
        self.add('g++', '#!/bin/sh\n')

    def add(self, name: str, text: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Outcome of one set-up, with the given variables set."""
        self.pip_log.write_text('')
        command = ['bash', str(self.checkout / 'tools/misc/setup_env.sh')]
        return subprocess.run(command, env=self.env | variables, text=True, capture_output=True, timeout=60)

    def pip_calls(self) -> list[str]:
        """What pip was asked for in the last run, one line a call, after the CUDA_VISIBLE_DEVICES it saw."""
        return self.pip_log.read_text().splitlines()

    def builds(self) -> list[str]:
        return [call for call in self.pip_calls() if '-m pip wheel' in call]

    def put_wheel(self, torch: str) -> None:
        folder = self.wheels / f'torch-{torch}-cp311-linux_x86_64'
        folder.mkdir(parents=True)
        (folder / 'mmcv-2.1.0-cached.whl').touch()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def without(name: str) -> Callable[[Machine], None]:
    return lambda machine: (machine.bin / name).unlink()


def free_kib(kib: int) -> Callable[[Machine], None]:
    return lambda machine: machine.add('df', f'#!/bin/sh\necho Filesystem\necho "/dev/x 90000000 1 {kib} 99% /"\n')


@pytest.mark.parametrize(
    ('change', 'variables', 'parts'),
    [
        (None, dict(FAKE_VERSION='3.9'), ('Python 3.10, 3.11 or 3.12 is needed', 'python3.11 is 3.9', 'numpy')),
        (None, dict(FAKE_VERSION='3.13'), ('Python 3.10, 3.11 or 3.12 is needed', 'python3.11 is 3.13', 'numpy')),
        (None, dict(PYTHON='/nowhere/python'), ('is needed, found no /nowhere/python',)),
        (without('python3.11'), {}, ('Python 3.10, 3.11 or 3.12 is needed, found none',)),
        (None, dict(FAKE_NO_VENV='1'), ('no venv module', 'python3.11-venv')),
        # 6 GiB and a bit: 6,500,000 of 1024 bytes = 6.2 GiB.
        (free_kib(6_500_000), {}, ('7 GB of free disk', '{checkout}', 'found 6 GB')),
        (without('g++'), dict(MMCV_OPS='1'), ('C++ compiler', 'g++')),
        (None, dict(MMCV_OPS='1', CXX='clang++-99'), ('C++ compiler', 'clang++-99')),
        (None, dict(MMCV_OPS='1', FAKE_INCLUDE='/gone'), ('/gone/Python.h', 'python3.11-dev')),
    ],
)  # fmt: skip
def test_refused_before_anything_is_made(
    machine: Machine, change: Callable | None, variables: dict[str, str], parts: tuple[str, ...]
) -> None:
    if change:
        change(machine)
    result = machine.run(**variables)
    assert result.returncode == 1, result
    for part in ('setup: error:', *parts):
        assert part.format(checkout=machine.checkout) in result.stderr
    assert machine.pip_calls() == []
    assert not (machine.checkout / '.venv').exists()


@pytest.mark.parametrize('named', [{}, {'PYTHON': 'python3.12'}])
def test_a_python_of_pyenv_is_found_behind_its_shim(machine: Machine, named: dict[str, str]) -> None:
    """The shim of a version that pyenv has not made the default only prints a message."""
    (machine.bin / 'python3.11').unlink()
    machine.add('python3.12', '#!/bin/sh\nexit 127\n')
    behind = machine.home / '.pyenv/versions/3.12.1/bin/python'
    behind.parent.mkdir(parents=True)
    behind.write_text(FAKE_PYTHON)
    behind.chmod(0o755)
    result = machine.run(FAKE_VERSION='3.12', **named)
    assert f'with {behind}\n' in result.stdout, result


def test_environment_follows_the_named_python(machine: Machine) -> None:
    machine.run()
    assert machine.run().stdout == ''  # the Python of .venv is kept
    (machine.checkout / '.venv/bin/python').write_text('#!/bin/sh\necho 3.11\n')
    assert 'making' in machine.run(PYTHON='python3.11', FAKE_VERSION='3.12').stdout


def test_a_python_of_another_name_is_found(machine: Machine) -> None:
    (machine.bin / 'python3.11').rename(machine.bin / 'python')
    result = machine.run()
    assert result.returncode == 0, result.stderr
    assert f'with {machine.bin}/python\n' in result.stdout


def test_enough_disk(machine: Machine) -> None:
    free_kib(8_500_000)(machine)
    assert machine.run().returncode == 0


def test_a_cached_wheel_needs_no_compiler(machine: Machine) -> None:
    (machine.bin / 'g++').unlink()
    machine.put_wheel('2.13.0+cpu')
    result = machine.run(MMCV_OPS='1', FAKE_INCLUDE='/gone')
    assert result.returncode == 0, result.stderr
    assert machine.builds() == []
    assert any('mmcv-2.1.0-cached.whl' in call for call in machine.pip_calls())


def test_a_wheel_of_another_torch_is_not_used(machine: Machine) -> None:
    machine.put_wheel('2.4.1')
    assert machine.run(MMCV_OPS='1').returncode == 0
    assert len(machine.builds()) == 1
    assert not any('cached.whl' in call for call in machine.pip_calls())
    (machine.bin / 'g++').unlink()
    shutil.rmtree(machine.checkout / '.venv')
    shutil.rmtree(machine.wheels / 'torch-2.13.0+cpu-cp311-linux_x86_64')
    result = machine.run(MMCV_OPS='1')  # the cached wheel is of another torch
    assert (result.returncode, machine.builds()) == (1, [])
    assert 'C++ compiler' in result.stderr


def test_first_run_compiles_nothing_and_second_does_nothing(machine: Machine) -> None:
    (machine.bin / 'g++').unlink()
    result = machine.run(FAKE_INCLUDE='/gone')
    assert result.returncode == 0, result.stderr
    wanted = ['build.txt', 'torch==2.13.0', '/.cvt_io_requirements.txt', 'opencv-python-headless']
    wanted += ['--no-deps mmdet3d==1.4.0', f'--editable {machine.checkout}']
    calls = machine.pip_calls()
    for call, part in zip(calls, wanted, strict=True):
        assert part in call
    assert all(f'/requirements/{name}.txt' in calls[2] for name in ('tests', 'lint', 'deploy', 'constraints'))
    runtime = (machine.checkout / '.venv/.cvt_io_requirements.txt').read_text()
    assert 'mmcv-lite==' in runtime and 'mmdet3d==' not in runtime
    assert not machine.wheels.exists()

    assert machine.run().returncode == 0
    assert machine.pip_calls() == []


def test_mmcv_with_operators_is_compiled_once_and_remembered(machine: Machine) -> None:
    result = machine.run(MMCV_OPS='1', FAKE_NO_MMCV='0')
    assert result.returncode == 0, result.stderr
    calls = machine.pip_calls()
    order = ('build.txt', 'torch==', 'pip wheel', 'uninstall --yes mmcv-lite', 'fake.whl')
    for call, part in zip(calls, order, strict=False):
        assert part in call
    (build,) = machine.builds()
    assert build.startswith('|')  # the GPUs were hidden from the build ...
    assert calls[0].startswith('unset|')  # ... and from nothing else
    assert '--no-build-isolation' in build and '--no-cache-dir' in build
    folder = machine.wheels / 'torch-2.13.0+cpu-cp311-linux_x86_64'
    assert [*machine.wheels.rglob('*.*')] == [folder, folder / 'mmcv-2.1.0-fake.whl']
    assert not (machine.checkout / '.venv/mmcv-build').exists()
    assert 'mmcv-lite' not in (machine.checkout / '.venv/.cvt_io_requirements.txt').read_text()

    assert machine.run().returncode == 0  # MMCV_OPS not given: the choice is kept
    assert machine.pip_calls() == []


def test_an_mmcv_that_is_there_stays(machine: Machine) -> None:
    assert machine.run(FAKE_NO_MMCV='0').returncode == 0
    assert machine.builds() == []
    assert not any('uninstall' in call for call in machine.pip_calls())
    assert 'mmcv-lite' not in (machine.checkout / '.venv/.cvt_io_requirements.txt').read_text()


def test_cache_folder_can_be_moved_and_mmcv_go_without_operators_again(machine: Machine, tmp_path: Path) -> None:
    assert machine.run(MMCV_OPS='1', CVT_IO_CACHE=str(tmp_path / 'elsewhere')).returncode == 0
    assert list((tmp_path / 'elsewhere/wheels').glob('torch-*/mmcv-*.whl'))
    assert not machine.wheels.exists()
    assert machine.run(MMCV_OPS='0', FAKE_NO_MMCV='0').returncode == 0
    assert any(call.endswith('uninstall --yes mmcv') for call in machine.pip_calls())


def test_changed_requirement_installs_again(machine: Machine) -> None:
    machine.run()
    with (machine.checkout / 'requirements/lint.txt').open('a') as file:
        file.write('# changed\n')
    assert machine.run().returncode == 0
    assert machine.pip_calls()


@pytest.mark.parametrize('step', ['build.txt', 'pip wheel', 'tests.txt', 'headless', '--editable'])
def test_interrupted_set_up_is_continued(machine: Machine, step: str) -> None:
    assert machine.run(MMCV_OPS='1', FAIL_AT=step).returncode != 0
    assert all(path.suffix == '.whl' for path in machine.wheels.glob('*/*'))  # no half wheel
    assert not (machine.checkout / '.venv/.cvt_io_stamp').exists()
    assert machine.run(MMCV_OPS='1').returncode == 0
    assert len(machine.builds()) == (1 if step in ('build.txt', 'pip wheel') else 0)


def test_half_installed_package_is_removed(machine: Machine) -> None:
    machine.run(FAIL_AT='tests.txt')
    packages = machine.checkout / '.venv/lib/python3.11/site-packages'
    whole, half = packages / 'whole-1.dist-info', packages / 'half-1.dist-info'
    for folder in (whole, half):
        folder.mkdir(parents=True)
        (folder / 'METADATA').touch()
    (whole / 'RECORD').touch()
    assert machine.run().returncode == 0
    assert whole.exists() and not half.exists()


def test_broken_imports_are_told_and_leave_no_stamp(machine: Machine) -> None:
    result = machine.run(FAKE_IMPORT_FAILS='1')
    assert result.returncode == 1
    assert 'do not import' in result.stderr
    assert not (machine.checkout / '.venv/.cvt_io_stamp').exists()


def test_chosen_torch_is_installed_remembered_and_replaced(machine: Machine) -> None:
    gpu = 'torch==2.4.1 --index-url file:///wheels'
    assert machine.run(TORCH=gpu, FAKE_TORCH='2.4.1+cu121').returncode == 0
    assert any(call.endswith(gpu) for call in machine.pip_calls())
    assert (machine.checkout / '.venv/.cvt_io_torch_pin.txt').read_text() == 'torch==2.4.1+cu121\n'

    assert machine.run().returncode == 0  # TORCH not given: the choice stands
    assert machine.pip_calls() == []

    assert machine.run(TORCH='torch==2.13.0').returncode == 0
    uninstall, install = [call for call in machine.pip_calls() if ' torch' in call]
    assert uninstall.endswith('uninstall --yes torch')
    assert install.endswith('torch==2.13.0')


def pins(name: str) -> dict[str, str]:
    lines = (line.split('#')[0].strip() for line in (ROOT / name).read_text().splitlines())
    asked = [Requirement(line) for line in lines if '==' in line]
    return {one.name: str(one.specifier)[2:] for one in asked if not one.marker or one.marker.evaluate()}


def test_files_agree_on_pins() -> None:
    runtime, constraints = pins('requirements.txt'), pins('requirements/constraints.txt')
    assert runtime['opencv-python'] == runtime['opencv-python-headless']
    for name, version in pins('requirements/build.txt').items():
        assert runtime.get(name, version) == version
    others = ('build', 'tests', 'lint', 'deploy')
    direct = runtime.keys() | {name for other in others for name in pins(f'requirements/{other}.txt')}
    assert not direct & constraints.keys()
    assert 'torch' not in constraints
    script = (ROOT / 'tools/misc/setup_env.sh').read_text()
    assert f'readonly MMCV=mmcv=={runtime["mmcv-lite"]}\n' in script


@pytest.mark.parametrize('target', ['env', 'lint', 'format', 'test', 'demo', 'bench', 'gallery'])
def test_make_targets_set_up_first(target: str) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith('MAKE')}  # of a `make test` outside
    printed = subprocess.check_output(['make', '-n', target], cwd=ROOT, env=env, text=True)
    assert printed.splitlines()[0] == 'bash tools/misc/setup_env.sh'


class Installed:
    """An environment with nothing but an editable installation of a copy of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.checkout, env = folder / 'checkout', folder / 'env'
        self.python = env / 'bin/python'
        self.checkout.mkdir()
        for name in ('README.md', 'pyproject.toml', 'setup.py', 'requirements.txt'):
            shutil.copy(ROOT / name, self.checkout)
        shutil.copytree(ROOT / 'projects', self.checkout / 'projects')
        build = f'from setuptools.build_meta import build_editable; build_editable({str(folder)!r})'
        subprocess.run([sys.executable, '-c', build], cwd=self.checkout, check=True, capture_output=True)
        subprocess.run([sys.executable, '-m', 'venv', '--without-pip', env], check=True)
        pip = [sys.executable, '-m', 'pip', '--python', self.python]
        subprocess.run([*pip, 'install', '-q', '--no-index', '--no-deps', *folder.glob('*.whl')], check=True)

    def run(self, folder: Path, code: str) -> str:
        """What the code prints, or the last line of its error, when it runs in this folder."""
        run = subprocess.run([self.python, '-c', code], cwd=folder, env={}, text=True, capture_output=True)
        return (run.stdout or run.stderr).splitlines()[-1]


@pytest.fixture(scope='module')
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp('installed'))


def write_package(folder: Path, **modules: str) -> None:
    folder.mkdir(parents=True)
    for name, text in modules.items():
        (folder / f'{name}.py').write_text(text)


@pytest.mark.parametrize('other', [{}, {'__init__': ''}], ids=['namespace', 'regular'])
def test_editable_installation_is_not_shadowed(installed: Installed, tmp_path: Path, other: dict[str, str]) -> None:
    """Another ``projects`` comes first on the path: without ``__init__.py``, as in an mmdet3d checkout, or with one."""
    write_package(tmp_path / 'projects', **other)
    write_package(tmp_path / 'projects/other', __init__='')
    code = 'import projects.other, projects.CVT_IO as ours; print(ours.__file__)'
    assert installed.run(tmp_path, code) == f'{installed.checkout}/projects/CVT_IO/__init__.py'


CALL_NMS = 'import mmcv._ext; print(mmcv._ext.nms(1))'


@pytest.mark.parametrize(
    ('modules', 'code', 'said'),
    [
        pytest.param(dict(__init__=''), CALL_NMS,
                     r"RuntimeError: mmcv operator 'nms' is not compiled.*make env MMCV_OPS=1.*", id='missing: remedy'),
        pytest.param(dict(__init__='', _ext='def nms(x): return x + 1'), CALL_NMS, '2', id='real: takes precedence'),
        pytest.param(dict(__init__='', _ext='raise ImportError("undefined symbol")'), CALL_NMS,
                     'ImportError: undefined symbol', id='broken: not hidden'),
        pytest.param(None, 'import mmcv.ops', "ModuleNotFoundError: No module named 'mmcv'", id='no mmcv: stays so'),
    ],
)  # fmt: skip
def test_operators(installed: Installed, tmp_path: Path, modules: dict | None, code: str, said: str) -> None:
    if modules:
        write_package(tmp_path / 'mmcv', **modules)
    assert re.fullmatch(said, installed.run(tmp_path, code))


def test_mmcv_accepts_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """mmcv's own check of the names, its operators and its environment report, whatever mmcv is installed."""
    nms, info = import_module('mmcv.ops.nms'), import_module('mmcv.ops.info')
    stand_in = module_from_spec(OperatorFinder.find_spec('mmcv._ext'))
    OperatorFinder.exec_module(stand_in)
    monkeypatch.setitem(sys.modules, 'mmcv._ext', stand_in)
    for module in (nms, info):
        monkeypatch.setattr(module, 'ext_module', load_ext('_ext', ['nms', 'softnms']))
    with pytest.raises(RuntimeError, match=r"operator 'nms' .* MMCV_OPS=1"):
        nms.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    assert info.get_compiler_version() == 'not compiled'
    assert not hasattr(stand_in, '__path__')


@pytest.mark.parametrize('folder', ['demo', 'tools', 'tools/misc', 'tools/analysis_tools'])
def test_scripts_run_without_an_installation(folder: str, tmp_path: Path) -> None:
    """Python puts a script's folder first on the path: its link ``projects`` is found before any other package's."""
    (tmp_path / 'projects').mkdir()
    (tmp_path / 'projects/__init__.py').touch()
    code = 'import runpy, sys; sys.path.insert(0, sys.argv[1]); import projects.CVT_IO; print(projects.__file__)'
    command, env = [sys.executable, '-S', '-c', code, str(ROOT / folder)], {'PYTHONPATH': str(tmp_path)}
    run = subprocess.run(command, cwd=tmp_path, env=env, text=True, capture_output=True)
    assert Path(run.stdout.strip()).resolve() == ROOT / 'projects/__init__.py', run.stderr


def test_every_folder_of_scripts_has_its_link() -> None:
    scripts = [*ROOT.glob('demo/*.py'), *ROOT.glob('tools/*.py'), *ROOT.glob('tools/[!p]*/*.py')]
    assert len(scripts) > 20
    for folder in {script.parent for script in scripts}:
        assert (folder / 'projects').resolve() == ROOT / 'projects', folder
