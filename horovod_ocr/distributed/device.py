"""What this process computes on, and in which precision."""

import hashlib
import os
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import torch

from horovod_ocr.config.train import check_device
from horovod_ocr.data.shared_memory import quota_of_cores
from horovod_ocr.distributed.gpus import Gpus, find_gpus
from horovod_ocr.distributed.world import World, raised_on_all_ranks
from horovod_ocr.errors import ConfigError


@dataclass(frozen=True)
class RankHardware:
    """What a rank finds on its host."""

    host: str
    """Its name."""
    gpus: Gpus
    """That this rank sees."""
    cores: frozenset[int] = frozenset()
    """That this rank may run on."""
    gpu_problem: str | None = None
    """Why the engine cannot sum tensors on GPUs, and what to do; None if it can."""


class DeviceChoice(NamedTuple):
    """What a rank computes on."""

    device: torch.device
    """Of this rank."""
    cores: int
    """This rank's share of its host."""
    why_cpu: str | None = None
    """Why it is the CPU although there is a GPU; None if there is none, or if the CPU was asked for."""


def choose_device(world: World, wanted: str = "auto") -> DeviceChoice:
    """A GPU of its own for each rank, or the CPU for all. Every rank must call this.

    wanted: auto (GPUs if there is one for each rank), cpu or cuda.
    Raises ConfigError, on every rank, for GPUs that do not work, for several ranks on GPUs with an engine
    without NCCL, and for `cuda` without a GPU for each rank.
    """
    world.collectively(lambda: check_device(wanted))
    gpus = Gpus() if wanted == "cpu" else find_gpus()
    mine = RankHardware(socket.gethostname(), gpus, frozenset(os.sched_getaffinity(0)), world.gpu_problem)
    hardware = world.gather(mine)
    numbers, why_cpu = assign_gpus(hardware, wanted)
    cores = share_of_cores(hardware, world.rank, quota_of_cores())
    if numbers:
        torch.cuda.set_device(numbers[world.rank])
        return DeviceChoice(torch.device("cuda", numbers[world.rank]), cores)
    torch.set_num_threads(cores)
    return DeviceChoice(torch.device("cpu"), cores, why_cpu)


def assign_gpus(hardware: Sequence[RankHardware], wanted: str) -> tuple[list[int], str | None]:
    """The number of each rank's GPU, as its own torch counts; no numbers for the CPU, and why not GPUs.

    hardware: of all ranks. A launcher may show each rank all GPUs of its host, some, or one of its own; no two ranks
    get the same one.
    """
    if wanted == "cpu":
        return [], None
    for each in hardware:
        if each.gpus.problem:
            raise raised_on_all_ranks(
                ConfigError(f"{each.host}: {each.gpus.problem}; or train on the CPUs: --device cpu")
            )
    rank_of_gpu = match_gpus([each.gpus.uuids for each in hardware])
    if len(rank_of_gpu) < len(hardware):
        why = shortage_of_gpus(hardware, set(rank_of_gpu.values()))
        if wanted == "cuda":
            cpu_build = "" if torch.version.cuda else f"; torch {torch.__version__} is built without CUDA"
            raise raised_on_all_ranks(
                ConfigError(
                    f"--device cuda needs a GPU for each rank ({why}{cpu_build}); lower the slots in hosts.txt, or "
                    "give --device auto"
                )
            )
        return [], why if any(each.gpus.numbers or each.gpus.remark for each in hardware) else None
    without = [each for each in hardware if each.gpu_problem]
    if without and len(hardware) > 1:
        raise raised_on_all_ranks(
            ConfigError(f"{without[0].host}: {without[0].gpu_problem}; or train on the CPUs: --device cpu")
        )
    uuid_of_rank = {rank: uuid for uuid, rank in rank_of_gpu.items()}
    gpus = [each.gpus for each in hardware]
    return [each.numbers[each.uuids.index(uuid_of_rank[rank])] for rank, each in enumerate(gpus)], None


def match_gpus(visible: Sequence[Sequence[str]]) -> dict[str, int]:
    """GPU -> rank, for as many ranks as can have one of their own. visible: the GPUs that each rank sees.

    Each takes the first that is free; if none is, another rank moves to a free one (Kuhn's augmenting paths, 1955).
    """
    owner: dict[str, int] = {}

    def find(rank: int, tried: set[str]) -> bool:
        for uuid in sorted(visible[rank], key=owner.__contains__):
            if uuid not in tried:
                tried.add(uuid)
                if uuid not in owner or find(owner[uuid], tried):
                    owner[uuid] = rank
                    return True
        return False

    for rank in range(len(visible)):
        find(rank, set())
    return owner


def shortage_of_gpus(hardware: Sequence[RankHardware], served: set[int]) -> str:
    """The hosts that have fewer GPUs than ranks, in words. served: ranks that have one."""
    ranks_on = Counter(each.host for each in hardware)
    gpus = Counter(hardware[rank].host for rank in served)
    remarks = {each.host: f" ({each.gpus.remark})" for each in hardware if each.gpus.remark}
    return ", ".join(
        f"ranks on {host}: {ranks_on[host]}, GPUs: {gpus[host]}{remarks.get(host, '')}"
        for host in ranks_on
        if gpus[host] < ranks_on[host]
    )


def share_of_cores(hardware: Sequence[RankHardware], rank: int, quota: int) -> int:
    """Cores for this rank, at least 1: a core that several ranks of its host may run on is shared among them, and so is
    the time of `quota` cores."""
    neighbours = [each for each in hardware if each.host == hardware[rank].host]
    users = Counter(core for each in neighbours for core in each.cores)
    share = sum(Fraction(1, users[core]) for core in hardware[rank].cores)
    return max(1, int(min(share, Fraction(quota, len(neighbours)))))


def choose_precision(wanted: str, device: torch.device, world: World) -> str:
    """`auto` is bf16 if the devices of all ranks multiply in it (on other CPUs it is slower than fp32), else fp32.

    Every rank must call this.
    """
    if wanted != "auto":
        return wanted
    return "bf16" if all(world.gather(multiplies_bf16(device))) else "fp32"


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    can = torch.cpu.get_capabilities()
    return bool(can.get("amx_bf16") or can.get("avx512_bf16"))


def first_contact_text(device: torch.device) -> str:
    """What ranks wait for when they first sum on this device, as the watchdog names it."""
    if device.type == "cuda":
        return (
            "the first contact of the GPUs (NCCL): is a port blocked between the hosts, or the network interface the "
            "wrong one? Name it: NCCL_SOCKET_IFNAME=eth0"
        )
    return "the first contact of the ranks"


def generator_of(device: torch.device) -> torch.Generator:
    """The generator that dropout draws from."""
    return torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator


def seed_of_rank(seed: int, rank: int) -> int:
    """A seed for dropout that differs between ranks, from 0 to 2 ** 56 - 1."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{rank}".encode(), digest_size=7).digest(), "little")
