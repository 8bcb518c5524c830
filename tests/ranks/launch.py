"""Start real ranks on this machine, by any launcher. Most jobs need none of their own: see group.py."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from sharding.format.idx import read_idx
from sharding.format.index import read_index

PROGRAM = Path(__file__).with_name("rank_program.py")
ROOT = Path(__file__).parents[2]
LAUNCHERS = ("horovodrun", "torchrun")  # one for each engine
SMALL = {"precision": "fp32", "workers": 0, "log_every_steps": 5, "model_options": {"width": 0.25, "hidden": 24}}


def train_on_ranks(
    ranks: int, out: Path, launcher: str = "horovodrun", timeout_s: float = 600, **settings
) -> subprocess.CompletedProcess:
    """Run rank_program under a launcher, in interpreters of its own; with one rank, without a launcher."""
    command = over_ranks(ranks, [sys.executable, str(PROGRAM), json.dumps(job_settings(out, settings))], launcher)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, env=environment())


def job_settings(out: Path, settings: dict) -> dict:
    """What rank_program is told: settings of a small training, in a folder that is made."""
    out.mkdir(exist_ok=True)
    return {**SMALL, "runs": str(out / "runs"), "run": "it", "out": str(out), **settings}


def over_ranks(ranks: int, command: list[str], launcher: str = "horovodrun") -> list[str]:
    """The command that starts a command for each of the ranks; with one rank, the command itself.

    launcher: horovodrun, torchrun or mpiexec.
    """
    if ranks == 1:
        return command
    if launcher == "torchrun":
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]
        return [*torchrun, "--nproc-per-node", str(ranks), *command]
    if launcher == "mpiexec":
        return ["mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks), *command]
    return [horovodrun(), "--gloo", "-np", str(ranks), "-H", f"localhost:{ranks}", *command]


def needs_launcher(launcher: str) -> None:
    """Skip the test if the launcher is not installed; torchrun comes with torch."""
    if launcher != "torchrun" and not Path(horovodrun()).exists():
        pytest.skip("needs Horovod: make setup builds it")


def horovodrun() -> str:
    return str(Path(sys.executable).with_name("horovodrun"))


def environment() -> dict[str, str]:
    import os

    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "OMP_NUM_THREADS": "1"}


def parameters_of(out: Path, rank: int = 0) -> dict[str, torch.Tensor]:
    return torch.load(out / f"rank{rank}.pt", weights_only=True)


def digests_read(out: Path, world_size: int) -> dict[int, list[int]]:
    """Step -> digests of the images that all ranks of a job of that size read for it."""
    read: dict[int, list[int]] = {}
    for rank in range(world_size):
        for line in (out / f"read-by-{rank}.jsonl").read_text().splitlines():
            step, size, digests = json.loads(line)
            if size == world_size:
                read.setdefault(step, []).extend(digests)
    return read


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys() and one
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def steps_of_epoch(shards: Path, global_batch: int) -> int:
    by_bucket = Counter()
    for shard in read_index(shards).of("train"):
        by_bucket[shard.bucket] += shard.samples
    return sum(-(-samples // global_batch) for samples in by_bucket.values())


def digests_of(shards: Path) -> Counter:
    """Of the train split."""
    index = read_index(shards)
    return Counter(int(digest) for shard in index.of("train") for digest in read_idx(index.idx_path(shard))["digest"])


def assert_ran(result: subprocess.CompletedProcess) -> None:
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
