#!/usr/bin/env bash
# What the tests need from Debian: installed when this is root with apt-get, else named. Never fails: the tests that
# miss something are skipped, and say so.
set -uo pipefail
PATH=$PATH:/usr/sbin:/sbin   # sshd and ip stand there, and other users do not have it in their PATH

find_missing() {
    missing=()
    local program package
    while read -r program package; do
        command -v "$program" >/dev/null || missing+=("$package")
    done <<<$'mpirun openmpi-bin\nmpicxx libopenmpi-dev\nsshd openssh-server\nip iproute2'
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
