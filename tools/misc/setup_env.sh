#!/usr/bin/env bash
# Sets up the checkout's .venv. Checks the machine first, then installs in an order that works.
# Does nothing if the environment already matches the requirement files; safe to interrupt and rerun.
#
# Variables (all optional):
#   PYTHON        interpreter of a supported version (default: that of .venv, else the first one found, pyenv's included)
#   TORCH         arguments of `pip install` for torch, options included (default: torch==2.13.0; remembered in .venv)
#   MMCV_OPS      1: compile mmcv with its operators; 0: mmcv-lite without them (default: 0; remembered in .venv)
#   CVT_IO_CACHE  where the compiled mmcv wheel is kept (default: ${XDG_CACHE_HOME:-~/.cache}/cvt-io)
#   MAX_JOBS      parallel compilers while mmcv is built (default: one per core)
set -euo pipefail

readonly SUPPORTED='3.11 3.12 3.10' # in order of preference
readonly DEFAULT_TORCH=torch==2.13.0
readonly MMCV=mmcv==2.1.0
readonly NEW_ENV_GB=7 # 2.4 GB installed with a CPU build of torch, about 6 with a CUDA build, and room to unpack
readonly OLD_ENV_GB=2

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly ROOT VENV=$ROOT/.venv
readonly VENV_PYTHON=$VENV/bin/python STAMP=$VENV/.cvt_io_stamp CHOSEN_TORCH=$VENV/.cvt_io_torch
readonly CHOSEN_OPS=$VENV/.cvt_io_mmcv_ops WANTED=$VENV/.cvt_io_requirements.txt TORCH_PIN=$VENV/.cvt_io_torch_pin.txt
readonly CACHE=${CVT_IO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cvt-io}

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: error: %s\n' "$@" >&2
  exit 1
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

is_supported() { [[ -n $1 && " $SUPPORTED " == *" $1 "* ]]; }

# pythonX.Y may be a pyenv shim that refuses to run; the interpreter behind it is not on the path.
candidates() {
  local version
  for version in $SUPPORTED; do
    printf '%s\n' "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python
  done
  printf '%s\n' python3 python
}

find_python() {
  local candidate version seen=''
  if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON" "${PYENV_ROOT:-$HOME/.pyenv}/versions/${PYTHON#python}".*/bin/python
  else
    readarray -t list < <(candidates)
    set -- "$VENV_PYTHON" "${list[@]}"
  fi
  for candidate; do
    version=$(version_of "$candidate") || continue
    if is_supported "$version"; then
      command -v "$candidate"
      return
    fi
    seen="$seen, $candidate is $version"
  done
  [ -n "$seen" ] || seen=", found ${PYTHON:+no }${PYTHON:-none}"
  fail "Python 3.10, 3.11 or 3.12 is needed$seen." \
    'Newer ones have no build of numpy 1, which nuscenes-devkit requires.' \
    'Install a supported one or name it: make env PYTHON=/path/to/python3.11'
}

check_venv_module() {
  "$1" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$1 has no venv module with pip (ensurepip). On Debian or Ubuntu: apt-get install python$(version_of "$1")-venv"
}

check_disk() {
  local folder=$1 need=$2 free
  free=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1048576) }')
  [ "$free" -ge "$need" ] || fail "$need GB of free disk are needed in $folder, found $free GB."
}

check_compiler() {
  local python=$1 compiler=${CXX:-} header
  [ -n "$compiler" ] || compiler=$(command -v c++ || command -v g++) || compiler=g++
  command -v "${compiler%% *}" >/dev/null ||
    fail "a C++ compiler is needed to build mmcv, and $compiler was not found. On Debian or Ubuntu: apt-get install g++"
  header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
  [ -f "$header" ] ||
    fail "Python's headers are needed to build mmcv, and $header was not found. On Debian or Ubuntu: apt-get install python$(version_of "$python")-dev"
  export CXX=$compiler
}

fingerprint() {
  { cat "$ROOT/pyproject.toml" "$ROOT/requirements.txt" "$ROOT"/requirements/*.txt "$ROOT/setup.py" "${BASH_SOURCE[0]}" && printf '%s' "$VERSION $TORCH $MMCV_OPS"; } | sha256sum
}

make_venv() {
  local python=$1 info
  if [ "$(version_of "$VENV_PYTHON")" != "$VERSION" ] || ! "$VENV_PYTHON" -m pip --version >/dev/null 2>&1; then
    say "making $VENV with $python"
    "$python" -m venv --clear "$VENV"
  fi
  for info in "$VENV"/lib/python*/site-packages/*.dist-info; do
    # pip takes a package for installed as soon as it has metadata, though RECORD is written last.
    if [ -d "$info" ] && [ ! -e "$info/RECORD" ]; then
      say "removing half-installed $info"
      rm -r "$info"
    fi
  done
}

pip_install() { "$VENV_PYTHON" -m pip install --disable-pip-version-check --no-input "$@"; }

install_torch() {
  local arguments
  read -ra arguments <<<"$TORCH"
  if [ -f "$CHOSEN_TORCH" ] && [ "$(cat "$CHOSEN_TORCH")" != "$TORCH" ]; then
    # Two builds of one release (CPU, CUDA) satisfy the same pin.
    "$VENV_PYTHON" -m pip uninstall --yes torch
  fi
  printf '%s\n' "$TORCH" >"$CHOSEN_TORCH"
  pip_install "${arguments[@]}"
}

has_mmcv() {
  "$VENV_PYTHON" -c 'import importlib.metadata as m; raise SystemExit(not m.version("mmcv").startswith(("2.0.", "2.1.")))' \
    2>/dev/null
}

# The wheel works only with the torch and the Python it was built with.
wheel_folder() {
  "$VENV_PYTHON" -c 'import sys, sysconfig, torch; print("torch-%s-cp%d%d-%s" % (
    torch.__version__, *sys.version_info[:2], sysconfig.get_platform().replace("-", "_")))'
}

build_mmcv() {
  local folder=$1 wheel work=$VENV/mmcv-build
  check_compiler "$VENV_PYTHON"
  check_disk "$VENV" "$OLD_ENV_GB"
  rm -rf "$work" # of an interrupted build
  mkdir -p "$work/tmp" "$folder"
  say "building $MMCV with its ops (10 to 17 minutes on two cores, once for this torch and Python)"
  # CPU ops are enough: hidden GPUs keep the build from asking for nvcc. pip's own cache knows nothing of torch versions.
  TMPDIR=$work/tmp CUDA_VISIBLE_DEVICES='' FORCE_CUDA=0 MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(nproc)} \
    "$VENV_PYTHON" -m pip wheel --disable-pip-version-check --no-input --no-cache-dir --no-deps --no-build-isolation \
    --no-binary mmcv --wheel-dir "$work" "$MMCV"
  wheel=$(cd "$work" && echo mmcv-*.whl)
  cp "$work/$wheel" "$folder/.$wheel.$$" && mv "$folder/.$wheel.$$" "$folder/$wheel"
  rm -rf "$work"
}

install_mmcv() {
  local folder
  printf '%s\n' "$MMCV_OPS" >"$CHOSEN_OPS"
  if [ "$MMCV_OPS" = 1 ]; then
    folder=$CACHE/wheels/$(wheel_folder)
    compgen -G "$folder/mmcv-*.whl" >/dev/null || build_mmcv "$folder"
    say "installing mmcv from $folder"
    "$VENV_PYTHON" -m pip uninstall --yes mmcv-lite # both own the folder mmcv
    pip_install --no-deps --force-reinstall "$folder"/mmcv-*.whl
  elif [ "$MMCV_OPS" = 0 ] && has_mmcv; then
    "$VENV_PYTHON" -m pip uninstall --yes mmcv
  fi
}

install_rest() {
  local mmcv_lite='' mmdet3d
  mmdet3d=$(grep '^mmdet3d==' "$ROOT/requirements.txt")
  if has_mmcv; then mmcv_lite='|mmcv-lite'; fi # an mmcv that is there stays
  # Of what mmdet3d requires, all but open3d (1 GB, only for its 3D viewers) is listed in requirements.txt.
  grep -Ev "^(mmdet3d$mmcv_lite)==" "$ROOT/requirements.txt" >"$WANTED"
  # As pip knows it: torch.__version__ may have a suffix (+cu130) that the release has not.
  "$VENV_PYTHON" -c 'import importlib.metadata as m; print("torch==" + m.version("torch"))' >"$TORCH_PIN"
  pip_install --no-build-isolation --constraint "$TORCH_PIN" --constraint "$ROOT/requirements/constraints.txt" \
    --requirement "$WANTED" --requirement "$ROOT/requirements/tests.txt" \
    --requirement "$ROOT/requirements/lint.txt" --requirement "$ROOT/requirements/deploy.txt"
  # Both OpenCV packages write the folder cv2. The headless one needs no libGL, so it is installed last.
  pip_install --no-deps --force-reinstall "$(grep '^opencv-python-headless==' "$ROOT/requirements.txt")"
  pip_install --no-deps "$mmdet3d"
}

install_checkout() {
  pip_install --no-deps --no-build-isolation --editable "$ROOT"
}

check_imports() {
  say 'checking that everything imports'
  (cd / && "$VENV_PYTHON" -W ignore -c 'import cv2, mmcv.ops, mmdet.models, mmdet3d.models, nuscenes, projects.CVT_IO.cvt_io') ||
    fail "the installed packages do not import (see above). If mmcv is the cause, remove $CACHE/wheels and run this again."
}

main() {
  TORCH=${TORCH:-$(cat "$CHOSEN_TORCH" 2>/dev/null || echo "$DEFAULT_TORCH")}
  MMCV_OPS=${MMCV_OPS:-$(cat "$CHOSEN_OPS" 2>/dev/null || true)}
  local wanted python
  python=$(find_python)
  VERSION=$(version_of "$python")
  wanted=$(fingerprint)
  if [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then
    return
  fi

  check_venv_module "$python"
  check_disk "$ROOT" "$([ -e "$VENV_PYTHON" ] && echo "$OLD_ENV_GB" || echo "$NEW_ENV_GB")"
  # Which wheel fits is known once torch is installed; without any wheel, a build is certain.
  [ "$MMCV_OPS" != 1 ] || compgen -G "$CACHE/wheels/torch-*-cp${VERSION/./}-*/mmcv-*.whl" >/dev/null || check_compiler "$python"

  rm -f "$STAMP"
  make_venv "$python"
  pip_install --requirement "$ROOT/requirements/build.txt"
  install_torch
  install_mmcv
  install_rest
  install_checkout
  check_imports
  printf '%s\n' "$wanted" >"$STAMP"
  say "the environment in $VENV is ready"
}

main
