#!/usr/bin/env bash
# The whole path, once: words -> shards -> ranks -> a checkpoint -> a score. make demo calls it in the environment.
# What it makes stands in demo/, anew each time.
set -euo pipefail
cd "${BASH_SOURCE[0]%/*}/.."
rm -rf demo
mkdir demo
cd demo

stages=()
run() {
    local stage=$1 started=$SECONDS
    shift
    printf '\n$ %s\n' "$*"
    "$@"
    stages+=("$(printf '  %-8s %4d s' "$stage" $((SECONDS - started)))")
}

run render horovod-ocr synth --words 30000 --out raw/
run shard horovod-ocr shard --src raw/
# one rank a GPU; without any, or with one that does not work, two on the CPU
read -r ranks device < <(python - <<'PYTHON'
import sys
from horovod_ocr.distributed.gpus import find_gpus
gpus = find_gpus()
if gpus.problem:
    print(f"\nthe demo takes the CPU: {gpus.problem}", file=sys.stderr)
print(len(gpus.numbers) or 2, "cpu" if gpus.problem else "auto")
PYTHON
)
run train horovodrun -np "$ranks" -H "localhost:$ranks" horovod-ocr train --recipe demo --device "$device"
run eval horovod-ocr eval --device "$device"

printf '\ntime:\n'
printf '%s\n' "${stages[@]}"
printf '  %-8s %4d s\n' all "$SECONDS"
runs=(runs/*/)
echo "run:  $PWD/${runs[0]%/} (checkpoints, metrics.jsonl, eval.json)"
