"""What torch can do with this machine's NVIDIA GPUs, and in a sentence why it cannot."""

import os
import re
from dataclasses import dataclass

import torch

# The oldest driver for each major version of CUDA: NVIDIA, "CUDA Compatibility", table of minimum driver versions
OLDEST_DRIVER = {"11": "450", "12": "525", "13": "580"}
NO_DEVICE = "torch finds no GPU, although an NVIDIA driver is here"


@dataclass(frozen=True)
class Gpus:
    """The GPUs that this process may use."""

    numbers: tuple[int, ...] = ()
    """Those that torch has code for, as torch counts them."""
    uuids: tuple[str, ...] = ()
    """Of these, in the same order; unique in the world."""
    problem: str | None = None
    """Why torch cannot compute on the GPUs of this machine, and what to do; None if it can, or if there are none."""
    remark: str | None = None
    """Why none is used although the machine has one, if that may be on purpose; else None."""


def has_nvidia_driver() -> bool:
    """Whether a driver for NVIDIA GPUs is loaded. /dev/dxg is the one of Windows, under WSL."""
    return any(map(os.path.exists, ("/proc/driver/nvidia/version", "/dev/dxg")))


def find_gpus() -> Gpus:
    """Find the GPUs of this process, which initialises CUDA. Never raises for a GPU or driver that does not work."""
    if torch.version.cuda is None:
        remark = f"torch {torch.__version__} is built without CUDA; make the environment with one for CUDA"
        return Gpus(remark=remark if has_nvidia_driver() else None)
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        found = [(number, torch.cuda.get_device_properties(number)) for number in range(torch.cuda.device_count())]
    except Exception as error:  # whatever it is, all ranks are told
        return explain(str(error))
    compiled = torch.cuda.get_arch_list()
    usable = [(number, gpu) for number, gpu in found if has_code_for((gpu.major, gpu.minor), compiled)]
    if found and not usable:
        _, gpu = found[0]
        return Gpus(problem=no_code_for(gpu.name, (gpu.major, gpu.minor), compiled))
    return Gpus(tuple(number for number, _ in usable), tuple(str(gpu.uuid) for _, gpu in usable))


def explain(error: str) -> Gpus:
    """From the error of a CUDA that does not start: is there no GPU, or one that cannot be used?"""
    if too_old := re.search(r"too old \(found version (\d+)\)", error):
        return Gpus(problem=driver_too_old(int(too_old[1]), torch.version.cuda or ""))
    if not has_nvidia_driver():
        return Gpus()
    if "No CUDA GPUs" in error:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return Gpus(remark=NO_DEVICE if visible is None else f"CUDA_VISIBLE_DEVICES={visible}")
    if "no NVIDIA driver" in error:
        return Gpus(remark="libcuda.so.1 is not found; in a container: docker run --gpus all")
    first = error.splitlines()[0].partition(". ")[0].rstrip(".")
    return Gpus(problem=f"the GPU or its driver does not work ({first}); look at nvidia-smi and dmesg")


def driver_too_old(driver_cuda: int, torch_cuda: str) -> str:
    """driver_cuda: the newest CUDA that the driver supports, 1000 * major + 10 * minor."""
    oldest = OLDEST_DRIVER.get(torch_cuda.partition(".")[0], "a newer one")
    return (
        f"the NVIDIA driver supports CUDA {driver_cuda // 1000}.{driver_cuda % 1000 // 10}, too old for torch "
        f"{torch.__version__}, which is built for CUDA {torch_cuda}: update it to {oldest} or newer"
    )


def has_code_for(capability: tuple[int, int], compiled: list[str]) -> bool:
    """Can a GPU run what torch was compiled for (`torch.cuda.get_arch_list()`)? Code of `sm_86` runs on 8.6 and later
    GPUs of the same major version, `compute_90` is compiled on the machine for any later one. A letter after the
    number (`sm_90a`) means exactly that GPU.
    """
    for name in compiled:
        kind, _, version = name.partition("_")
        number = version.rstrip("abcdefghijklmnopqrstuvwxyz")
        its = (int(number[:-1]), int(number[-1]))
        if version != number:
            fits = kind == "sm" and its == capability
        else:
            fits = its <= capability and (kind == "compute" or its[0] == capability[0])
        if fits:
            return True
    return False


def no_code_for(name: str, capability: tuple[int, int], compiled: list[str]) -> str:
    return (
        f"torch {torch.__version__} has no code for the GPU {name} (compute capability "
        f"{capability[0]}.{capability[1]}; it has {' '.join(compiled)}): a GPU of another generation, or another torch"
    )
