"""How fast gradients travel: an allreduce over hosts, one rank each, and the bytes that a model's need.

Started by horovodrun as `python -m horovod_ocr.launch.bandwidth`; root prints one line of JSON.
"""

import json
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from horovod_ocr.config import TrainConfig
from horovod_ocr.data.store import read_index_at
from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.hosts import Host
from horovod_ocr.launch.job import START_TIMEOUT_S, spell_horovodrun
from horovod_ocr.launch.ssh import Ssh, kill_session

ALLREDUCE_BYTES = 64 << 20
MOST_TIMES, MOST_S = 5, 5.0
LIMIT_S = 100  # of a rank


def main() -> None:
    from horovod_ocr.training.device import choose_device
    from horovod_ocr.world import open_world

    signal.alarm(LIMIT_S)  # a rank that waits for one that never comes ends by itself, on whatever host
    world = open_world()
    seconds = time_allreduce(world, choose_device(world))
    if world.is_root:
        print(json.dumps({"allreduce_bytes": ALLREDUCE_BYTES, "seconds": seconds}), flush=True)


def time_allreduce(world, device) -> float:
    """Median seconds of an allreduce of ALLREDUCE_BYTES. Collective."""
    import torch

    values = torch.ones(ALLREDUCE_BYTES // 4, device=device)

    def once() -> float:
        started = time.perf_counter()
        world.sum(values).sum().item()  # waits for the GPU, too
        return time.perf_counter() - started

    once()  # opens the connections
    times = world.broadcast(max(1, min(MOST_TIMES, int(MOST_S / once()))))
    return statistics.median(once() for _ in range(times))


def measure_allreduce(ssh: Ssh, hosts: Sequence[Host], timeout_s: float = START_TIMEOUT_S + LIMIT_S) -> float | str:
    """Bytes/s of an allreduce over the hosts; or, in a few words, why there is none."""
    try:
        command = spell_horovodrun(tuple(hosts), [sys.executable, "-m", "horovod_ocr.launch.bandwidth"])
        started = subprocess.Popen(
            command,
            env=ssh.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except ClusterError as error:
        return str(error)
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    try:
        said, _ = started.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return f"no allreduce ended within {timeout_s:g} s"
    finally:
        if started.poll() is None:  # also where a person interrupts
            kill_session(started)
            started.communicate()
    found = re.search(r'"seconds": ([\d.e+-]+)', said)
    return ALLREDUCE_BYTES / float(found[1]) if found else told_by_horovodrun(said, started.returncode)


def told_by_horovodrun(said: str, code: int) -> str:
    """The line that tells most: the last of the rank that ended first, else the last that speaks of an error."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    first = re.search(r"rank (\d+) ended first", said)
    mark = f"[{first[1]}]<stderr>:" if first else ""
    of_rank = [f"rank {first[1]}: {line.removeprefix(mark)}" for line in lines if mark and line.startswith(mark)]
    errors = [line for line in lines if re.search("error|unable|could not|timed out", line, re.IGNORECASE)]
    return (of_rank or errors or lines or [f"horovodrun ended with code {code}"])[-1]


def gradient_bytes(config: TrainConfig) -> int:
    """Bytes of the gradients of a step, fp32. Raises ShardError or ConfigError where there is no such model."""
    import torch

    from horovod_ocr.models import build_model
    from horovod_ocr.training.task import WordTask

    task = WordTask.of(read_index_at(config.shards))
    with torch.device("meta"):  # shapes only
        model = build_model(config.model, task.outputs, config.height, **config.model_options)
    return 4 * sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


if __name__ == "__main__":
    main()
