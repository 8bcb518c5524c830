"""The facts of a host: its versions, GPUs, memory, network, folders and clock.

`python -m horovod_ocr.launch.hosts.probe` reads a Request as JSON from standard input and prints its answers as one
line of JSON.

The answers are dicts by fact (`answer_all`); a fact that cannot be found out is {"why": a sentence}. The program never
fails and never waits for ever: storage that hangs is one of the problems it must be able to report.
"""

import csv
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

import horovod_ocr
import sharding
from horovod_ocr.config.train import NetworkConfig
from horovod_ocr.data.shared_memory import count_cores, free_shared_bytes, largest_batch_bytes
from horovod_ocr.data.store import is_remote, read_index_at
from horovod_ocr.tasks.geometry import geometry_of
from sharding.format.index import check_shards_present
from sharding.system.machine import total_memory

ANSWER_WITHIN_S = 45
LOAD_WITHIN_S = 90  # for torch, Horovod and CUDA: slow with a cold network folder and eight GPUs
UNREACHABLE = ("127.", "::1", "fe80:")  # addresses begin with this: loopback, and IPv6's link-local ones
Fact = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What a host is asked."""

    shards: str
    """Folder or URL of the shards."""
    runs: str
    """Folder of the runs."""
    cache_dir: str | None = None
    """Folder of the shard cache; None: there is no cache."""
    mark: str | None = None
    """Name of a file that the asking machine has put beside the runs; None: it could not."""
    loads: bool = True
    """Also import torch and Horovod, instead of only reading their versions?"""
    batch: dict[str, Any] | None = None
    """The arguments of largest_batch_bytes without the shards, and with `height` and `pixels` for the geometry; None:
    not asked."""

    @property
    def answer_within_s(self) -> float:
        """The time after which a fact without an answer is given up."""
        return LOAD_WITHIN_S + 5 if self.loads else ANSWER_WITHIN_S

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def probe_command() -> list[str]:
    """The command that probes a host. Its Python is expected at the same path as on this machine."""
    return [sys.executable, "-m", "horovod_ocr.launch.hosts.probe"]


def main() -> None:
    started = time.monotonic()
    if sys.argv[1:] == ["build"]:
        print(json.dumps(describe_build()))
        return
    answers = answer_all(Request(**json.loads(sys.stdin.read())))
    # the clock is read last, so that little time passes until the asking machine has the answer
    print(json.dumps(answers | {"took_s": time.monotonic() - started, "clock": time.time()}), flush=True)
    os._exit(0)  # a thread that waits for storage would keep the process alive


def answer_all(request: Request, clock: Callable[[], float] = time.monotonic) -> dict[str, Fact]:
    """All facts, found out at the same time. One that takes too long says so."""
    within_s = request.answer_within_s
    asked: dict[str, Callable[[], Fact]] = {
        "machine": lambda: {"name": socket.gethostname(), "cores": count_cores()},
        "python": lambda: {"version": platform.python_version(), "executable": sys.executable},
        "torch": lambda: {"version": importlib.metadata.version("torch")},
        "horovod": lambda: {"version": importlib.metadata.version("horovod")},
        "package": describe_package,
        "gpus": describe_gpus,
        "memory": describe_memory,
        "interfaces": lambda: {"addresses": addresses_by_interface()},
        "shards": partial(describe_shards, request.shards, request.batch),
        "runs": partial(describe_runs, request.runs, request.mark),
        "disk": partial(describe_disk, request.runs),
    }
    if request.cache_dir:
        asked["cache"] = partial(describe_cache, request.cache_dir)
    if request.loads:
        asked["build"] = load_build
    answers: dict[str, Fact] = {fact: {"why": f"no answer within {within_s:g} s"} for fact in asked}

    def answer(fact: str) -> None:
        try:
            answers[fact] = asked[fact]()
        except Exception as error:  # any error is the answer of this fact, and the others go on
            answers[fact] = {"why": sentence_of(error)}

    threads = [threading.Thread(target=answer, args=(fact,), name=f"probe {fact}", daemon=True) for fact in asked]
    for thread in threads:
        thread.start()
    ends_s = clock() + within_s
    for thread in threads:
        thread.join(max(0.0, ends_s - clock()))
    return dict(answers)


def sentence_of(error: Exception) -> str:
    if isinstance(error, importlib.metadata.PackageNotFoundError):
        return f"{error.name} is not in this environment"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def describe_package() -> Fact:
    """The version, the folder, and as `sources` a digest of all Python files of the project."""
    digest = hashlib.sha256()
    for package in (horovod_ocr, sharding):
        (folder,) = map(Path, package.__path__)
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return {"version": horovod_ocr.__version__, "sources": digest.hexdigest(), "folder": str(folder.parent)}


def load_build() -> Fact:
    """The answer of describe_build in a process of its own: a broken library crashes or hangs there, not here."""
    command = [*probe_command(), "build"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_WITHIN_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return {"why": f"torch and Horovod did not load within {LOAD_WITHIN_S} s"}
    if done.returncode:
        return {"why": last_line(done.stderr) or f"loading torch and Horovod ended with code {done.returncode}"}
    build: Fact = json.loads(last_line(done.stdout))
    return build


def describe_build() -> Fact:
    """What torch and Horovod can do here.

    cuda: the version that torch was built for, "" without CUDA. gpus: how many it can compute on. gpu_problem and
    gpu_remark: of `find_gpus`, "" if there is nothing to say.
    """
    import torch

    from horovod_ocr.distributed.gpus import find_gpus
    from horovod_ocr.distributed.horovod import describe_horovod
    from horovod_ocr.errors import ClusterError

    try:
        horovod: Fact = describe_horovod()
    except ClusterError as error:
        horovod = {"why": str(error)}
    found = find_gpus()
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "",
        "gpus": len(found.numbers),
        "gpu_problem": found.problem,
        "gpu_remark": found.remark,
        "horovod": horovod,
    }


def last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


def describe_gpus() -> Fact:
    """The names of the NVIDIA GPUs, and the version of their driver; [] and "" without a GPU."""
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
        if done.returncode:
            return {"why": f"nvidia-smi: {last_line(done.stdout + done.stderr)}"}
        rows = [[cell.strip() for cell in row] for row in csv.reader(done.stdout.splitlines()) if row]
        return {"names": [row[0] for row in rows], "driver": rows[0][1] if rows else ""}
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    names = [name for card in cards for name in re.findall(r"Model:\s*(.*)", card.read_text())]
    module = Path("/proc/driver/nvidia/version")
    found = re.search(r"Kernel Module\D*([\d.]+)", module.read_text()) if module.exists() else None
    return {"names": names, "driver": found[1] if found else ""}


def describe_memory() -> Fact:
    """Free and total bytes. shared_bytes: free in /dev/shm, where loader workers put their batches; None without it."""
    return {
        "free_bytes": psutil.virtual_memory().available,
        "total_bytes": total_memory(),
        "shared_bytes": free_shared_bytes(),
    }


def describe_shards(location: str, batch: dict[str, Any] | None) -> Fact:
    """The digest of the index, the samples of its train split, and the shared memory of the largest batch, if asked.

    Raises ShardError if there is no index or a shard is missing.
    """
    index = read_index_at(location)
    if not is_remote(location):
        check_shards_present(index)
    facts: Fact = {"digest": index.digest, "train": index.counts.totals.get("train", 0)}
    if batch and facts["train"]:
        asked = {**batch}
        network = NetworkConfig(height=asked.pop("height"), pixels=asked.pop("pixels"))
        geometry = geometry_of(index.kind, network, index.bucket_edges)
        facts["batch_bytes"] = largest_batch_bytes(index.of("train"), geometry, **asked)
    return facts


def nearest_folder(path: str) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    absolute = Path(path).absolute()
    return next(folder for folder in (absolute, *absolute.parents) if folder.exists())


def describe_runs(runs: str, mark: str | None) -> Fact:
    """sees_mark: None if there is no mark to look for. Raises OSError if nothing can be written there."""
    folder = nearest_folder(runs)
    write_a_little(folder)
    return {"sees_mark": (folder / mark).exists() if mark else None}


def write_a_little(folder: Path) -> None:
    """Raises OSError with the folder's name if nothing can be written into it."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())  # a full disk may fail only now
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def describe_disk(runs: str) -> Fact:
    usage = shutil.disk_usage(nearest_folder(runs))
    return {"free_bytes": usage.free, "total_bytes": usage.total}


def describe_cache(cache_dir: str) -> Fact:
    write_a_little(nearest_folder(cache_dir))
    return describe_disk(cache_dir)


def addresses_by_interface() -> dict[str, list[str]]:
    """The addresses that other hosts can reach, by network interface; an interface without one is left out."""
    found: dict[str, list[str]] = {}
    for name, addresses in psutil.net_if_addrs().items():
        families = (socket.AF_INET, socket.AF_INET6)
        reachable = [
            each.address for each in addresses if each.family in families and not each.address.startswith(UNREACHABLE)
        ]
        if reachable and ":" not in name:  # eth0:1 is a label of eth0, which no launcher accepts
            found[name] = reachable
    return found


if __name__ == "__main__":
    main()
