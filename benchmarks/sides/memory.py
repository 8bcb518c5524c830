"""The peak memory of a process and of those it started, as Linux counts it (VmHWM)."""

import os
import subprocess
import threading
import time
from typing import NamedTuple

EVERY_S = 0.02


class Peaks(NamedTuple):
    """In MB: of the process itself, and of the largest process under it (0 where there is none)."""

    own_mb: float
    worker_mb: float


def watch_peaks(process: subprocess.Popen) -> Peaks:
    """Looks until the process has ended. VmHWM only grows, so a look now and then misses nothing but the very end."""
    peaks: dict[int, float] = {}
    while process.poll() is None:
        _look(process.pid, peaks)
        time.sleep(EVERY_S)
    return _peaks_of(process.pid, peaks)


class OwnPeaks:
    """A block of this process: its peak and that of its workers, in `peaks` when it has ended."""

    peaks = Peaks(0.0, 0.0)

    def __enter__(self) -> "OwnPeaks":
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # VmHWM begins anew
        self._seen: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.peaks = _peaks_of(os.getpid(), self._seen)

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_S * 10):
            _look(os.getpid(), self._seen)
        _look(os.getpid(), self._seen)


def _look(pid: int, peaks: dict[int, float]) -> None:
    for member in _family_of(pid):
        peaks[member] = max(peaks.get(member, 0.0), int((_field_of(member, "VmHWM") or "0").split()[0]) / 1024)


def _peaks_of(pid: int, peaks: dict[int, float]) -> Peaks:
    return Peaks(peaks.get(pid, 0.0), max((peak for member, peak in peaks.items() if member != pid), default=0.0))


def _family_of(pid: int) -> list[int]:
    """pid and all that descend from it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            children.setdefault(int(_field_of(int(name), "PPid") or 0), []).append(int(name))
    family = [pid]
    for member in family:
        family.extend(children.get(member, ()))
    return family


def _field_of(pid: int, name: str) -> str:
    """One line of /proc/<pid>/status; "" where the process is gone (or a kernel thread has no such line)."""
    try:
        with open(f"/proc/{pid}/status") as lines:
            return next((line.split(":", 1)[1] for line in lines if line.startswith(f"{name}:")), "")
    except (FileNotFoundError, ProcessLookupError):
        return ""
