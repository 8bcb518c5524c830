#!/usr/bin/env bash
# Builds Horovod 0.28.1 for the torch of a virtual environment, keeps the wheel in a cache, and installs it.
#
#   scripts/build_horovod.sh [--nccl | --no-nccl] [PYTHON]   PYTHON: the environment's python (default: .venv/bin/python)
#   scripts/build_horovod.sh --check [PYTHON]   only say what a build would miss; any python, torch need not be there
#
# Why not from an index: 0.28.1 is the last release, has no wheels, and its sources ask for C++14 where torch >= 2.1
# needs C++17. horovod-0.28.1.patch changes that and teaches horovodrun hostfiles (-H hosts.txt) and plain sentences.
# Gloo is always built, MPI where mpicxx and mpirun are found (not with HOROVOD_WITHOUT_MPI=1).
# NCCL is built if torch is a CUDA build and this machine has an NVIDIA driver. --nccl and --no-nccl overrule that, and
# so does HOROVOD_GPU_OPERATIONS=NCCL or none, which make passes on. The build needs no GPU and no CUDA toolkit: the NCCL
# is torch's own, and nvcc comes from PyPI in torch's CUDA version, into a temporary folder. To use a toolkit of this
# machine instead, set HOROVOD_CUDA_HOME and HOROVOD_NCCL_HOME.
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
nccl=${HOROVOD_GPU_OPERATIONS:-auto}
unset HOROVOD_GPU_OPERATIONS   # the compile gets it from flags, below
for argument in "$@"; do
    case $argument in
        --nccl) nccl=NCCL ;;
        --no-nccl) nccl=none ;;
        --check) check_only=1 ;;
        -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
        -*) fail 2 "unknown option $argument; there are --nccl, --no-nccl, --check and --help" ;;
        *) python=$argument ;;
    esac
done
found=$(command -v "$python") || fail 2 "$python is not there; run: make setup"
python=$found
PATH=$(cd "${python%/*}" && pwd):$PATH   # cmake may come from the environment

# Says, on one line: the wheel tag; the versions of torch and Horovod; whether Python.h is there; the CUDA version torch
# is built for; the newest one the driver supports (12080 is CUDA 12.8); the folder of torch's CUDA wheels.
describe_python() {
    "$python" - <<'PYTHON'
import ctypes, importlib.metadata as metadata, importlib.util, os, runpy, sys, sysconfig
def version_of(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
def driver_version():
    version = ctypes.c_int()
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        return "none"
    return "none" if failed else version.value
headers = os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
cuda = wheels = "none"
if spec := importlib.util.find_spec("torch"):
    folder = os.path.dirname(spec.origin)
    cuda = runpy.run_path(os.path.join(folder, "version.py")).get("cuda") or "none"  # importing torch takes seconds
    nvidia = os.path.join(os.path.dirname(folder), "nvidia")
    if os.path.isdir(f"{nvidia}/cu{cuda.split('.')[0]}") and os.path.exists(f"{nvidia}/nccl/lib/libnccl.so.2"):
        wheels = nvidia
print(f"cp{sys.version_info.major}{sys.version_info.minor}", version_of("torch"), version_of("horovod"), int(headers),
      cuda, driver_version(), wheels)
PYTHON
}
read -r tag torch installed headers cuda driver cuda_wheels < <(describe_python)
[[ $torch != none || $check_only ]] || fail 2 "torch is not in $python; run: make setup"

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

note=
# Sets nccl to NCCL or none. The choice depends on torch and the driver alone, so that every run makes the same.
choose_nccl() {
    case $nccl in
        none) return ;;
        auto)
            if [[ $cuda == none || $driver == none ]]; then
                nccl=none
                [[ $cuda == none ]] || note="without NCCL, because no NVIDIA driver is here; --nccl builds it all the same"
                return
            fi
            nccl=NCCL ;;
        NCCL) ;;
        *) fail 2 "HOROVOD_GPU_OPERATIONS=$nccl is not supported; there are NCCL and none" ;;
    esac
    [[ $cuda != none ]] || fail 2 "NCCL needs a CUDA build of torch, and torch $torch of $python has no CUDA; install" \
        "PyPI's torch for Linux, or leave --nccl (HOROVOD_GPU_OPERATIONS=NCCL) out"
    [[ $cuda_wheels != none || -n ${HOROVOD_CUDA_HOME:-} ]] || fail 2 "torch $torch of $python does not come with" \
        "PyPI's wheels of CUDA ${cuda%%.*} and NCCL; install PyPI's torch, or set HOROVOD_CUDA_HOME and" \
        "HOROVOD_NCCL_HOME to a CUDA $cuda toolkit and its NCCL, or build without NCCL: --no-nccl (make:" \
        "HOROVOD_GPU_OPERATIONS=none)"
    check_driver
}

# The build needs no GPU, so a driver that is too old does not stop it.
check_driver() {
    local major=${cuda%%.*} driver_wanted="a newer driver"
    [[ $driver != none ]] && ((driver < major * 1000)) || return 0
    case $major in
        12) driver_wanted="driver 525 or newer" ;;
        13) driver_wanted="driver 580 or newer (for Turing GPUs and newer)" ;;
    esac
    say "torch $torch is built for CUDA $cuda, but this machine's NVIDIA driver supports CUDA" \
        "$((driver / 1000)).$((driver % 1000 / 10)) at most, so torch cannot use the GPU; install $driver_wanted"
}

# What is built is named by the version: 0.28.1+torch2.13.0.mpi.nccl.p1a2b3c4d. pip records it in the environment, the
# cache names the wheel after it, so that nothing else has to remember what was built, from what, with what.
choose_nccl
flags=(HOROVOD_WITH_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1 HOROVOD_WITH_GLOO=1)
parts=gloo
if [[ -z ${HOROVOD_WITHOUT_MPI:-} ]] && command -v mpicxx >/dev/null && command -v mpirun >/dev/null; then
    flags+=(HOROVOD_WITH_MPI=1)
    parts=mpi
else
    flags+=(HOROVOD_WITHOUT_MPI=1)
fi
if [[ $nccl == NCCL ]]; then
    flags+=(HOROVOD_GPU_OPERATIONS=NCCL)
    parts+=.nccl
fi
patch_digest=$( (cat "$patch_file"; echo "${flags[@]}") | sha256sum)
wanted=$version+torch${torch//+/.}.$parts.p${patch_digest:0:8}
wheel=$cache/horovod-$wanted-$tag-$tag-linux_$(uname -m).whl

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

# A CUDA_HOME and an NCCL_HOME of links into the wheels. nvcc looks for ../lib64 beside itself, CMake for libcudart.so
# and libnccl.so; the wheels have lib, libcudart.so.13 and libnccl.so.2.
assemble_cuda() {
    local major=${cuda%%.*} home=$work/cuda
    local fetched=$work/wheels/nvidia/cu$major
    run_logged "fetching nvcc of CUDA $cuda (104 MB)" "$work/cuda.log" "$python" -m pip install --no-compile \
        --target "$work/wheels" "cuda-toolkit[nvcc,cccl,cudart]==$cuda.*"
    mkdir -p "$home/bin" "$home/lib64" "$home/nccl/lib"
    ln -s "$fetched"/bin/* "$home/bin/"
    ln -s "$fetched"/{include,nvvm} "$home/"
    ln -s "$fetched"/lib/libcu* "$home/lib64/"
    ln -s "libcudart.so.$major" "$home/lib64/libcudart.so"
    ln -s lib64 "$home/lib"
    ln -s "$cuda_wheels/nccl/include" "$home/nccl/include"
    ln -s "$cuda_wheels/nccl/lib/libnccl.so.2" "$home/nccl/lib/libnccl.so"
    export HOROVOD_CUDA_HOME=$home HOROVOD_NCCL_HOME=$home/nccl HOROVOD_NCCL_LINK=SHARED
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
    if [[ $nccl == NCCL ]]; then
        [[ -n ${HOROVOD_CUDA_HOME:-} ]] || assemble_cuda
        export CUDA_HOME=$HOROVOD_CUDA_HOME   # torch's name for it
        PATH=$CUDA_HOME/bin:$PATH             # Horovod asks the first nvcc of PATH which GPUs there are to compile for
    fi
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
say "wanted: $wanted; installed: $installed${note:+ ($note)}"
if [[ -f $wheel ]]; then
    say "taken from the cache: $wheel"
    install_wheel
    report && exit 0
    say "the cached wheel does not work here (another MPI or system?); it is built anew"
fi
build
install_wheel
report
