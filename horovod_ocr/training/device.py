"""What this process computes on, and in which precision."""

import contextlib
import hashlib
import os

import torch

from horovod_ocr.errors import ConfigError
from horovod_ocr.world import World


def choose_device(world: World) -> torch.device:
    """The GPU of this process's place on its host; else the CPU, its cores divided among the host's ranks."""
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        if world.local_rank >= count:
            raise ConfigError(
                f"local rank {world.local_rank}, but this host has {count} GPUs; lower its slots in hosts.txt"
            )
        torch.cuda.set_device(world.local_rank)
        return torch.device("cuda", world.local_rank)
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // world.local_size))
    return torch.device("cpu")


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
