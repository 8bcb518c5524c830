"""The first contact of the ranks, which meet as for training: do they reach each other, on what device, how fast?

`meet` starts `python -m horovod_ocr.launch.hosts.contact DEVICE` by horovodrun; root prints one line of JSON.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.store import read_index_at
from horovod_ocr.distributed.launcher import rank_of_process
from horovod_ocr.errors import OcrError
from horovod_ocr.launch.hosts.ask_ranks import ask_ranks, print_answer
from horovod_ocr.launch.hosts.horovodrun import START_TIMEOUT_S
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.ssh import Ssh

if TYPE_CHECKING:
    import torch

    from horovod_ocr.distributed.world import World

ALLREDUCE_BYTES = 64 << 20
MOST_TIMES, MOST_S = 5, 5.0  # the allreduce is repeated up to 5 times, or 5 s
LIMIT_S = 100  # a rank without progress for this long ends itself


class Contact(NamedTuple):
    """What a first contact found."""

    device: str
    """cpu or cuda."""
    bytes_per_s: float
    """The speed of an allreduce of ALLREDUCE_BYTES."""
    why_cpu: str | None = None
    """Why the ranks compute on the CPU, of `choose_device`."""


def main() -> None:
    from horovod_ocr.distributed.device import choose_device, first_contact_text
    from horovod_ocr.distributed.open import open_world
    from horovod_ocr.distributed.watchdog import Watchdog

    try:
        # a rank that waits for another that never comes ends itself, on every host
        with Watchdog(LIMIT_S, rank_of_process() or 0) as watchdog:
            world = open_world()
            with world.guard("the first contact"):
                chosen = choose_device(world, sys.argv[1])
                watchdog.reached(0, first_contact_text(chosen.device))
                seconds = time_allreduce(world, chosen.device)
    except OcrError as error:
        sys.exit(str(error))
    if world.is_root:
        speed = ALLREDUCE_BYTES / seconds
        print_answer(Contact(chosen.device.type, speed, chosen.why_cpu))


def time_allreduce(world: "World", device: "torch.device") -> float:
    """Median seconds of an allreduce of ALLREDUCE_BYTES. Every rank must call this."""
    import torch

    values = torch.ones(ALLREDUCE_BYTES // 4, device=device)

    def once() -> float:
        started = time.perf_counter()
        world.sum(values).sum().item()  # waits for the GPU too
        return time.perf_counter() - started

    once()  # opens the connections
    times = world.broadcast(max(1, min(MOST_TIMES, int(MOST_S / once()))))
    return statistics.median(once() for _ in range(times))


def meet(
    ssh: Ssh,
    hosts: Sequence[Host],
    device: str,
    timeout_s: float = START_TIMEOUT_S + LIMIT_S,
    launcher: Sequence[str] = (),
) -> Contact:
    """Run an allreduce over all slots of the hosts. device: as in RanksConfig. timeout_s, launcher: see `ask_ranks`.
    Raises ClusterError if it fails."""
    return Contact(*ask_ranks(ssh, hosts, "horovod_ocr.launch.hosts.contact", device, timeout_s, launcher))


def gradient_bytes(config: TrainConfig) -> int:
    """Bytes of the gradients of a step, fp32. Raises ShardError or ConfigError if the model cannot be built."""
    import torch

    from horovod_ocr.tasks.build import build_model_for, task_of
    from horovod_ocr.tasks.geometry import geometry_of

    index = read_index_at(config.data.shards)
    task, network = task_of(index, config), config.network
    geometry = geometry_of(index.kind, network, index.bucket_edges)
    with torch.device("meta"):  # shapes only
        model = build_model_for(task, geometry, network.model, network.model_options)
    return 4 * sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


if __name__ == "__main__":
    main()
