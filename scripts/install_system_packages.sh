#!/usr/bin/env bash
# What the tests need from Debian: installed when this is root with apt-get, else named. Never fails: the tests that
# miss something are skipped, and say so.
#
#   scripts/install_system_packages.sh
#   scripts/install_system_packages.sh --before-build PYTHON   as root, before the first build of Horovod: MPI alone, so
#                                                              that the tests do not ask for a second build later
set -uo pipefail
PATH=$PATH:/usr/sbin:/sbin   # sshd and ip stand there, and other users do not have it in their PATH
cache=${HOROVOD_OCR_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/horovod-ocr}
wanted=$'mpirun openmpi-bin\nmpicxx libopenmpi-dev\nsshd openssh-server\nip iproute2\nsshfs sshfs\nchromium chromium\nnode nodejs\nnpm npm'

if [[ ${1:-} == --before-build ]]; then
    ((EUID == 0)) && command -v apt-get >/dev/null || exit 0
    [[ -z ${HOROVOD_WITHOUT_MPI:-} ]] || exit 0
    compgen -G "$cache/horovod-*.whl" >/dev/null && exit 0
    "$2" -c 'import importlib.metadata as metadata; metadata.version("horovod")' 2>/dev/null && exit 0
    wanted=$'mpirun openmpi-bin\nmpicxx libopenmpi-dev'
fi

find_missing() {
    missing=()
    local program package
    while read -r program package; do
        command -v "$program" >/dev/null || missing+=("$package")
    done <<<"$wanted"
}

find_missing
((${#missing[@]} == 0)) && exit 0
if ((EUID == 0)) && command -v apt-get >/dev/null; then
    echo "installing Debian packages (about a minute): ${missing[*]}"
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update && apt-get install --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 5 "$log" >&2
    fi
    rm -f "$log"
    find_missing
fi
if ((${#missing[@]} > 0)); then
    echo "missing Debian packages: ${missing[*]}; the tests that need them are skipped (as root: apt-get install ${missing[*]})"
fi
exit 0
