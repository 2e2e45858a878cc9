#!/usr/bin/env bash
# Makes the checkout's .venv ready: checks the machine, then installs in the order that mmcv's build needs.
# Does nothing when the environment already matches the requirement files; continues an interrupted set-up.
#
# Variables (all optional):
#   PYTHON        interpreter of the supported version (default: the first of python3.11, python3, python that fits)
#   TORCH         what to hand to `pip install` for torch, options included (default: torch==2.13.0; remembered in .venv)
#   CVT_IO_CACHE  where the built mmcv wheel is kept (default: ${XDG_CACHE_HOME:-~/.cache}/cvt-io)
#   MAX_JOBS      compilers at once while mmcv is built (default: one per core)
set -euo pipefail

readonly SUPPORTED=3.11 # the pinned numpy and scipy releases leave 3.11 and 3.12; only 3.11 is verified
readonly DEFAULT_TORCH=torch==2.13.0
readonly MMCV=mmcv==2.1.0
readonly NEW_ENV_GB=8 # 3.5 GB installed with a CPU build of torch, 7.5 with a CUDA build, and room to unpack
readonly OLD_ENV_GB=2

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly ROOT VENV=$ROOT/.venv
readonly VENV_PYTHON=$VENV/bin/python STAMP=$VENV/.cvt_io_stamp CHOSEN_TORCH=$VENV/.cvt_io_torch
readonly TORCH_PIN=$VENV/.cvt_io_torch_pin.txt
readonly CACHE=${CVT_IO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cvt-io}

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: error: %s\n' "$@" >&2
  exit 1
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

find_python() {
  local candidate version seen=''
  # shellcheck disable=SC2086 # PYTHON unset means three candidates
  for candidate in ${PYTHON:-python3.11 python3 python}; do
    version=$(version_of "$candidate") || version='not found'
    if [ "$version" = "$SUPPORTED" ]; then
      command -v "$candidate"
      return
    fi
    seen="$seen$candidate: $version; "
  done
  fail "Python $SUPPORTED is needed, found ${seen%; }." "Install it or name it: make env PYTHON=/path/to/python$SUPPORTED"
}

check_venv_module() {
  "$1" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$1 has no venv module with pip (ensurepip). On Debian or Ubuntu: apt-get install python$SUPPORTED-venv"
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
    fail "Python's headers are needed to build mmcv, and $header was not found. On Debian or Ubuntu: apt-get install python$SUPPORTED-dev"
  export CXX=$compiler
}

fingerprint() {
  { cat "$ROOT/pyproject.toml" "$ROOT/requirements.txt" "$ROOT"/requirements/*.txt "${BASH_SOURCE[0]}" && printf '%s' "$TORCH"; } | sha256sum
}

make_venv() {
  local python=$1 info
  if [ "$(version_of "$VENV_PYTHON")" != "$SUPPORTED" ] || ! "$VENV_PYTHON" -m pip --version >/dev/null 2>&1; then
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
  folder=$CACHE/wheels/$(wheel_folder)
  compgen -G "$folder/mmcv-*.whl" >/dev/null || build_mmcv "$folder"
  say "installing mmcv from $folder"
  pip_install --no-deps --force-reinstall "$folder"/mmcv-*.whl
}

install_rest() {
  "$VENV_PYTHON" -c 'import torch; print("torch==" + torch.__version__)' >"$TORCH_PIN"
  pip_install --no-build-isolation --constraint "$TORCH_PIN" --constraint "$ROOT/requirements/constraints.txt" \
    --requirement "$ROOT/requirements.txt" --requirement "$ROOT/requirements/tests.txt" \
    --requirement "$ROOT/requirements/lint.txt" --requirement "$ROOT/requirements/deploy.txt"
  # Both OpenCV packages write the folder cv2. The headless one needs no libGL, so it is the one to stay.
  pip_install --no-deps --force-reinstall "$(grep '^opencv-python-headless==' "$ROOT/requirements.txt")"
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
  local wanted python
  wanted=$(fingerprint)
  if [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then
    return
  fi

  python=$(find_python)
  check_venv_module "$python"
  check_disk "$ROOT" "$([ -e "$VENV_PYTHON" ] && echo "$OLD_ENV_GB" || echo "$NEW_ENV_GB")"
  # Which wheel fits is known once torch stands; with none at all a build is certain.
  compgen -G "$CACHE/wheels/torch-*-cp${SUPPORTED/./}-*/mmcv-*.whl" >/dev/null || check_compiler "$python"

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
