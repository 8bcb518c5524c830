"""The peak memory of a process and of those it started, as Linux counts it."""

import os
import subprocess
import time
from typing import NamedTuple

EVERY_S = 0.02


class Peaks(NamedTuple):
    """VmHWM in MB: of the process itself, and of the largest process under it (0 where there is none)."""

    own_mb: float
    worker_mb: float


def watch_peaks(process: subprocess.Popen) -> Peaks:
    """Looks until the process has ended. VmHWM only grows, so a look now and then misses nothing but the very end."""
    peaks: dict[int, float] = {}
    while process.poll() is None:
        for pid in family_of(process.pid):
            peaks[pid] = max(peaks.get(pid, 0.0), peak_mb(pid))
        time.sleep(EVERY_S)
    own = peaks.pop(process.pid, 0.0)
    return Peaks(own, max(peaks.values(), default=0.0))


def family_of(pid: int) -> list[int]:
    """pid and all that descend from it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            children.setdefault(parent_of(int(name)), []).append(int(name))
    family = [pid]
    for member in family:
        family.extend(children.get(member, ()))
    return family


def parent_of(pid: int) -> int:
    return int(field_of(pid, "PPid") or 0)


def peak_mb(pid: int) -> float:
    return int((field_of(pid, "VmHWM") or "0").split()[0]) / 1024


def field_of(pid: int, name: str) -> str:
    """One line of /proc/<pid>/status; "" where the process is gone (or a kernel thread has no such line)."""
    try:
        with open(f"/proc/{pid}/status") as lines:
            return next((line.split(":", 1)[1] for line in lines if line.startswith(f"{name}:")), "")
    except (FileNotFoundError, ProcessLookupError):
        return ""
