#!/usr/bin/env bash
# Builds Horovod 0.28.1 for the torch of a virtual environment, keeps the wheel in a cache, and installs it.
#
#   scripts/build_horovod.sh [--nccl] [PYTHON]      PYTHON: the environment's python (default: .venv/bin/python)
#   scripts/build_horovod.sh --check [PYTHON]       only say what a build would miss; any python, torch need not be there
#
# Why not from an index: 0.28.1 is the last release, has no wheels, and its sources ask for C++14 where torch >= 2.1
# needs C++17. horovod-0.28.1.patch changes that and teaches horovodrun hostfiles (-H hosts.txt) and plain sentences.
# Gloo is always built, MPI where mpicxx and mpirun are found (not with HOROVOD_WITHOUT_MPI=1), NCCL with --nccl (or
# HOROVOD_GPU_OPERATIONS=NCCL).
# Exit codes: 2 something is missing on this machine, 1 the build failed.
set -euo pipefail

version=0.28.1
sha256=92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0
here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
patch_file=$here/horovod-$version.patch
cache=${HOROVOD_OCR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/horovod-ocr}

say() { printf 'horovod: %s\n' "$*" >&2; }
fail() { say "${*:2}"; exit "$1"; }

python=$here/../.venv/bin/python
check_only=
for argument in "$@"; do
    case $argument in
        --nccl) export HOROVOD_GPU_OPERATIONS=NCCL ;;
        --check) check_only=1 ;;
        -*) fail 2 "unknown option $argument; there are --nccl and --check" ;;
        *) python=$argument ;;
    esac
done
python=$(command -v "$python") || fail 2 "$python is not there; run: make setup"
PATH=$(cd "${python%/*}" && pwd):$PATH   # cmake may come from the environment

# What is built is named by the version: 0.28.1+torch2.13.0.cpu.mpi.p1a2b3c4d. pip records it in the environment, the cache
# names the wheel after it, so that nothing else has to remember what was built, from what, with what.
flags=(HOROVOD_WITH_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1 HOROVOD_WITH_GLOO=1)
controllers=gloo
if [[ -z ${HOROVOD_WITHOUT_MPI:-} ]] && command -v mpicxx >/dev/null && command -v mpirun >/dev/null; then
    flags+=(HOROVOD_WITH_MPI=1)
    controllers=mpi
else
    flags+=(HOROVOD_WITHOUT_MPI=1)
fi
[[ -n ${HOROVOD_GPU_OPERATIONS:-} ]] && controllers+=.${HOROVOD_GPU_OPERATIONS,,}

describe_python() {
    "$python" - <<'PYTHON'
import importlib.metadata as metadata, os, sys, sysconfig
def version_of(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
headers = os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
print(f"cp{sys.version_info.major}{sys.version_info.minor}", version_of("torch"), version_of("horovod"), int(headers))
PYTHON
}
read -r tag torch installed headers < <(describe_python)
[[ $torch != none || $check_only ]] || fail 2 "torch is not in $python; run: make setup"
patch_digest=$( (cat "$patch_file"; echo "${flags[@]}") | sha256sum)
wanted=$version+torch${torch//+/.}.$controllers.p${patch_digest:0:8}
wheel=$cache/horovod-$wanted-$tag-$tag-linux_$(uname -m).whl

# Proves that the build is whole, and says what is in it. MPI's own library is opened here too.
report() {
    "$python" - <<'PYTHON'
import horovod.torch as hvd
parts = {"gloo": hvd.gloo_built(), "mpi": hvd.mpi_built(), "nccl": hvd.nccl_built()}
print("horovod: built in:", ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in parts.items()))
PYTHON
}

check_tools() {
    local missing=() tool package
    while read -r package tool; do
        command -v "${tool%% *}" >/dev/null || missing+=("$tool (Debian package $package)")
    done <<<"gcc ${CC:-gcc}"$'\n'"g++ ${CXX:-g++}"$'\n'"make make"$'\n'"git git"
    ((headers)) || missing+=("Python.h (Debian package python3-dev)")
    ((${#missing[@]} == 0)) && return
    say "cannot be built here, this is missing:"
    printf '  %s\n' "${missing[@]}" >&2
    fail 2 "install what is named, then start the same command again"
}

if [[ $check_only ]]; then
    compgen -G "$cache/horovod-$version+*.whl" >/dev/null || check_tools  # with a wheel in the cache nothing is compiled
    exit 0
fi

# Runs a long command with its output in a log and a note every 15 s; where it fails, shows why and keeps the log.
run_logged() {
    local what=$1 log=$2 started=$SECONDS next_note=$((SECONDS + 15))
    shift 2
    set -m  # a process group of its own, so that Ctrl-C reaches the compilers too
    "$@" >"$log" 2>&1 &
    local job=$!
    set +m
    trap "kill -- -$job 2>/dev/null; wait $job || true; exit 130" INT TERM
    while kill -0 "$job" 2>/dev/null; do
        sleep 1
        if ((SECONDS >= next_note)); then
            next_note=$((SECONDS + 15))
            say "$what: $((SECONDS - started)) s $(grep -oE '\[ *[0-9]+%\]' "$log" | tail -n 1 | tr -d ' ' || true)"
        fi
    done
    trap - INT TERM
    if ! wait "$job"; then
        cp "$log" "$cache/failed.log"
        grep -iE '\b(error|fatal)\b' "$log" | head -n 15 >&2 || true
        tail -n 25 "$log" >&2
        fail 1 "$what failed after $((SECONDS - started)) s; its first errors and its end stand above, all in $cache/failed.log"
    fi
    say "$what: done in $((SECONDS - started)) s"
}

fetch_source() {
    local archive=$cache/horovod-$version.tar.gz
    if [[ ! -f $archive ]]; then
        run_logged "fetching the source distribution" "$work/fetch.log" "$python" -m pip download --no-deps \
            --no-binary :all: --no-build-isolation --dest "$work" "horovod==$version"
        mv "$work/horovod-$version.tar.gz" "$archive.$$" && mv "$archive.$$" "$archive"
    fi
    if ! echo "$sha256  $archive" | sha256sum --check --status; then
        rm -f "$archive"
        fail 1 "horovod-$version.tar.gz has another sha256 than $sha256; it was removed, start again to fetch it anew"
    fi
    tar --no-same-owner -xzf "$archive" -C "$work"
    # git apply, not patch: git is always there. The ceiling keeps it from taking a repository around $work for ours.
    (cd "$work/horovod-$version" && env -u GIT_DIR -u GIT_WORK_TREE -u GIT_INDEX_FILE GIT_CEILING_DIRECTORIES="$work" \
        git apply "$patch_file") || fail 1 "$patch_file does not apply to horovod-$version"
}

build() {
    check_tools
    mkdir -p "$cache"
    work=$(mktemp -d)
    export TMPDIR=$work  # pip's folders too go with it
    trap 'rm -rf "$work"' EXIT
    # Horovod's setup.py would fetch CMake 3.13 from source where none is found
    command -v cmake >/dev/null || run_logged "installing cmake" "$work/cmake.log" "$python" -m pip install 'cmake>=3.13,<4'
    fetch_source
    # CMAKE_POLICY_VERSION_MINIMUM: CMake 4 refuses the bundled libraries without it.
    # MAKEFLAGS: make's own would reach the compile; setup.py's -j8 wants 8 GB.
    run_logged "compiling (about 5 CPU minutes)" "$work/build.log" env -u MFLAGS -u MAKELEVEL "${flags[@]}" \
        HOROVOD_LOCAL_VERSION="${wanted#*+}" CMAKE_POLICY_VERSION_MINIMUM=3.5 MAKEFLAGS="-j$(nproc)" \
        "$python" -m pip wheel -v --no-deps --no-build-isolation --wheel-dir "$work/wheel" "$work/horovod-$version"
    mv "$work"/wheel/horovod-*.whl "$wheel.$$" && mv "$wheel.$$" "$wheel"
}

install_wheel() { "$python" -m pip install --quiet --no-deps --force-reinstall "$wheel"; }

if [[ $installed == "$wanted" ]] && report; then
    exit 0
fi
say "wanted: $wanted; installed: $installed"
if [[ -f $wheel ]]; then
    say "taken from the cache: $wheel"
    install_wheel
    report && exit 0
    say "the cached wheel does not work here (another MPI or system?); it is built anew"
fi
build
install_wheel
report
