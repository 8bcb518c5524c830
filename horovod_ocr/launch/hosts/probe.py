"""What a host says of itself.

`python -m horovod_ocr.launch.hosts.probe` reads a Request as JSON from standard input and prints its answers as one
line of JSON.

The answers are dicts by fact (`answer_all`); a fact that could not be had is {"why": a sentence}. Nothing here raises,
and nothing waits for ever: a folder on storage that hangs is one of the things that a host is asked about.
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
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import horovod_ocr
import sharding
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.shared_memory import count_cores, free_shared_bytes, largest_batch_bytes
from horovod_ocr.data.store import is_remote, read_index_at
from sharding.format.index import check_shards_present

ANSWER_WITHIN_S = 45
LOAD_WITHIN_S = 90  # torch, Horovod and CUDA: a cold network folder and eight GPUs take their time
SIOCGIFADDR = 0x8915  # linux/sockios.h: the IPv4 address of an interface
LOOPBACK = ("127.", "::1")


@dataclass(frozen=True)
class Request:
    """The folders that are asked for; cache_dir "": none is used. mark: name of a file that the asking machine has
    beside the runs, "": none. loads: import torch and Horovod, too, instead of only reading their versions. batch: the
    arguments of largest_batch_bytes but the shards, the geometry as its height; {}: not asked for."""

    shards: str
    runs: str
    cache_dir: str = ""
    mark: str = ""
    loads: bool = True
    batch: dict[str, int] = field(default_factory=dict)

    @property
    def answer_within_s(self) -> float:
        return LOAD_WITHIN_S + 5 if self.loads else ANSWER_WITHIN_S

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def probe_command() -> list[str]:
    """What asks a host: with this machine's Python, at the same path there."""
    return [sys.executable, "-m", "horovod_ocr.launch.hosts.probe"]


def main() -> None:
    started = time.monotonic()
    if sys.argv[1:] == ["build"]:
        print(json.dumps(describe_build()))
        return
    answers = answer_all(Request(**json.loads(sys.stdin.read())))
    # last, so that little time lies between the clock and the moment at which the other side reads it
    print(json.dumps(answers | {"took_s": time.monotonic() - started, "clock": time.time()}), flush=True)
    os._exit(0)  # a thread that waits for storage would keep the process


def answer_all(request: Request, within_s: float | None = None) -> dict[str, dict]:
    """Every fact, all asked at once. A fact that is not had within so many seconds (default: the request's) says so."""
    within_s = request.answer_within_s if within_s is None else within_s
    asked: dict[str, Callable[[], dict]] = {
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
    answers = {fact: {"why": f"no answer within {within_s:g} s"} for fact in asked}

    def answer(fact: str) -> None:
        try:
            answers[fact] = asked[fact]()
        except Exception as error:  # whatever it is, it is this fact's answer, and the others go on
            answers[fact] = {"why": sentence_of(error)}

    threads = [threading.Thread(target=answer, args=(fact,), daemon=True) for fact in asked]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    return dict(answers)


def sentence_of(error: Exception) -> str:
    if isinstance(error, importlib.metadata.PackageNotFoundError):
        return f"{error.name} is not in this environment"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def describe_package() -> dict:
    """version, and sources: a digest of all Python files of the project."""
    digest = hashlib.sha256()
    for package in (horovod_ocr, sharding):
        folder = Path(package.__file__).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return {"version": horovod_ocr.__version__, "sources": digest.hexdigest(), "folder": str(folder.parent)}


def load_build() -> dict:
    """describe_build of a process of its own: a library that does not fit crashes or hangs there, not here."""
    command = [*probe_command(), "build"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_WITHIN_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return {"why": f"torch and Horovod did not load within {LOAD_WITHIN_S} s"}
    if done.returncode:
        return {"why": last_line(done.stderr) or f"loading torch and Horovod ended with code {done.returncode}"}
    return json.loads(last_line(done.stdout))


def describe_build() -> dict:
    """What torch and Horovod can do here. cuda: version that torch was built for, "": none; gpus: that it can compute
    on; gpu_problem: why it cannot, "" if it can or if there is none; gpu_remark: of training.gpus."""
    import torch

    from horovod_ocr.distributed.gpus import find_gpus
    from horovod_ocr.distributed.world import describe_horovod
    from horovod_ocr.errors import ClusterError

    try:
        horovod = describe_horovod()
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


def describe_gpus() -> dict:
    """names of the NVIDIA GPUs, and their driver's version; no GPU: [] and ""."""
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
        if done.returncode:
            return {"why": f"nvidia-smi: {last_line(done.stdout + done.stderr)}"}
        rows = [[cell.strip() for cell in row] for row in csv.reader(done.stdout.splitlines()) if row]
        return {"names": [row[0] for row in rows], "driver": rows[0][1] if rows else ""}
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    names = [re.search(r"Model:\s*(.*)", card.read_text())[1] for card in cards]
    module = Path("/proc/driver/nvidia/version")
    found = re.search(r"Kernel Module\D*([\d.]+)", module.read_text()) if module.exists() else None
    return {"names": names, "driver": found[1] if found else ""}


def describe_memory() -> dict:
    """free and total bytes; shared_bytes: free in /dev/shm, through which loader workers hand over their batches, None
    where there is none."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free, total = (int(lines[name].split()[0]) * 1024 for name in ("MemAvailable", "MemTotal"))
    return {"free_bytes": free, "total_bytes": total, "shared_bytes": free_shared_bytes()}


def describe_shards(location: str, batch: dict[str, int]) -> dict:
    """digest of the index, and samples of its train split; batch_bytes: shared memory of the largest batch, if asked
    for. Raises ShardError where there is no index, or a shard is missing."""
    index = read_index_at(location)
    if not is_remote(location):
        check_shards_present(index)
    facts = {"digest": index.digest, "train": index.totals.get("train", 0)}
    if batch and facts["train"]:
        asked = {**batch}
        geometry = Geometry(asked.pop("height"), index.bucket_edges)
        facts["batch_bytes"] = largest_batch_bytes(index.of("train"), geometry, **asked)
    return facts


def nearest_folder(path: str) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    absolute = Path(path).absolute()
    return next(folder for folder in (absolute, *absolute.parents) if folder.exists())


def describe_runs(runs: str, mark: str) -> dict:
    """sees_mark: None where none was asked for. Raises OSError where nothing can be written."""
    folder = nearest_folder(runs)
    write_a_little(folder)
    return {"sees_mark": (folder / mark).exists() if mark else None}


def write_a_little(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())  # only then a full disk says so
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def describe_disk(runs: str) -> dict:
    usage = shutil.disk_usage(nearest_folder(runs))
    return {"free_bytes": usage.free, "total_bytes": usage.total}


def describe_cache(cache_dir: str) -> dict:
    write_a_little(nearest_folder(cache_dir))
    return describe_disk(cache_dir)


def addresses_by_interface() -> dict[str, list[str]]:
    """Addresses of the interfaces that others can reach: without loopback and IPv6's link-local ones."""
    import fcntl

    found: dict[str, list[str]] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(query, SIOCGIFADDR, name.encode().ljust(256, b"\0"))
                found[name] = [socket.inet_ntoa(answer[20:24])]
            except OSError:
                found[name] = []  # it has no IPv4 address
    table = Path("/proc/net/if_inet6")
    for line in table.read_text().splitlines() if table.exists() else ():
        digits, *_, name = line.split()
        address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
        if not address.startswith("fe80:"):
            found.setdefault(name, []).append(address)
    reachable = {name: [each for each in each_of if not each.startswith(LOOPBACK)] for name, each_of in found.items()}
    return {name: addresses for name, addresses in reachable.items() if addresses}


if __name__ == "__main__":
    main()
