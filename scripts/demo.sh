#!/usr/bin/env bash
# The whole way, once: words -> shards -> ranks -> a checkpoint -> a score. make demo calls it in the environment.
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
# one rank a GPU; without any, two on the CPU
ranks=$(python -c "from horovod_ocr.training.gpus import find_gpus; print(len(find_gpus().numbers) or 2)")
run train horovodrun -np "$ranks" -H "localhost:$ranks" horovod-ocr train --recipe demo
run eval horovod-ocr eval

printf '\ntime:\n'
printf '%s\n' "${stages[@]}"
printf '  %-8s %4d s\n' all "$SECONDS"
runs=(runs/*/)
echo "run:  $PWD/${runs[0]%/} (checkpoints, metrics.jsonl, eval.json)"
