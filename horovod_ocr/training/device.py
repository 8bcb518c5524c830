"""What this process computes on, and in which precision."""

import contextlib
import hashlib
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from horovod_ocr.config import check_device
from horovod_ocr.data.shared_memory import count_cores
from horovod_ocr.errors import ConfigError
from horovod_ocr.training.gpus import Gpus, find_gpus
from horovod_ocr.world import World, agreed

BUILD_WITH_NCCL = "scripts/build_horovod.sh --nccl"


@dataclass(frozen=True)
class Place:
    """A rank's place: its host, its number among the host's ranks, and the GPUs that it may use there.

    can_exchange: can Horovod sum what lies on a GPU?
    """

    host: str
    local_rank: int
    gpus: Gpus
    can_exchange: bool = True


def choose_device(world: World, wanted: str = "auto") -> tuple[torch.device, str]:
    """A GPU of its own for each rank, or the CPU for all. Every rank must call this.

    Returns also why it is the CPU although there is a GPU; "" if there is none, or if the CPU was asked for.

    wanted: auto (GPUs if there is one for each rank), cpu or cuda.
    Raises ConfigError, on every rank, for GPUs that do not work, for several ranks on GPUs with a Horovod without
    NCCL, and for `cuda` without a GPU for each rank.
    """
    check_device(wanted)
    gpus = Gpus() if wanted == "cpu" else find_gpus()
    place = Place(socket.gethostname(), world.local_rank, gpus, world.sums_on_gpus)
    numbers, why_cpu = assign_gpus(world.gather(place), wanted)
    if numbers:
        torch.cuda.set_device(numbers[world.rank])
        return torch.device("cuda", numbers[world.rank]), ""
    torch.set_num_threads(max(1, count_cores() // world.local_size))
    return torch.device("cpu"), why_cpu


def assign_gpus(places: Sequence[Place], wanted: str) -> tuple[list[int], str]:
    """The number of each rank's GPU, as its own torch counts; none of them for the CPU, with the reason.

    places: of all ranks. A launcher may show each rank all GPUs of its host or one of its own; either way no two
    ranks get the same one.
    """
    if wanted == "cpu":
        return [], ""
    for place in places:
        if place.gpus.problem:
            raise agreed(ConfigError(f"{place.host}: {place.gpus.problem}; or train on the CPUs: --device cpu"))
    chosen = [place.local_rank % max(1, len(place.gpus.numbers)) for place in places]
    if why := shortage_of_gpus(places, chosen):
        if wanted == "cuda":
            raise agreed(
                ConfigError(f"--device cuda, but {why}; give each rank a GPU (slots in hosts.txt), or --device auto")
            )
        return [], why if any(place.gpus.numbers or place.gpus.remark for place in places) else ""
    if len(places) > 1 and (without := next((place.host for place in places if not place.can_exchange), "")):
        raise agreed(
            ConfigError(
                f"{without}: Horovod is built without NCCL, and would wait for ever for what lies on a GPU; build it "
                f"with: {BUILD_WITH_NCCL}; or train on the CPUs: --device cpu"
            )
        )
    return [place.gpus.numbers[each] for place, each in zip(places, chosen, strict=True)], ""


def shortage_of_gpus(places: Sequence[Place], chosen: Sequence[int]) -> str:
    """The hosts that have fewer GPUs than ranks, in words; "" if there are none."""
    ranks = Counter(place.host for place in places)
    taken: dict[str, set[str]] = {host: set() for host in ranks}
    for place, each in zip(places, chosen, strict=True):
        taken[place.host] |= set(place.gpus.uuids[each : each + 1])
    remarks = {place.host: f" ({place.gpus.remark})" for place in places if place.gpus.remark}
    return ", ".join(
        f"ranks on {host}: {ranks[host]}, GPUs: {len(taken[host])}{remarks.get(host, '')}"
        for host in ranks
        if len(taken[host]) < ranks[host]
    )


def first_contact(device: torch.device) -> str:
    """What ranks wait for when they first sum on this device, for who finds out that they wait for ever."""
    if device.type == "cuda":
        return (
            "the first contact of the GPUs (NCCL): is a port blocked between the hosts, or the network interface the "
            "wrong one? Name it: NCCL_SOCKET_IFNAME=eth0"
        )
    return "the first contact of the ranks"


def generator_of(device: torch.device) -> torch.Generator:
    """The generator dropout draws from."""
    return torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator


def seed_of_rank(seed: int, rank: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{rank}".encode(), digest_size=7).digest(), "little")


def autocast(device: torch.device, precision: str):
    """bf16 autocast, or none."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def choose_precision(wanted: str, device: torch.device) -> str:
    """`auto` is bf16 where the device multiplies in it (on other CPUs it is slower than fp32), else fp32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    can = torch.cpu.get_capabilities()
    return "bf16" if can.get("amx_bf16") or can.get("avx512_bf16") else "fp32"
