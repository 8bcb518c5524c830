"""The peak memory of a process and of its descendants, as Linux counts it (VmHWM; psutil does not report it)."""

import os
import subprocess
import threading
import time
from typing import NamedTuple

import psutil

EVERY_S = 0.02


class Peaks(NamedTuple):
    """Peak memory, in MB."""

    own_mb: float
    """Of the process itself."""
    worker_mb: float
    """Of its largest descendant; 0 if there is none."""


def watch_peaks(process: subprocess.Popen) -> Peaks:
    """Watch until the process has ended. VmHWM only grows, so reading it now and then misses only the very end."""
    peaks: dict[int, float] = {}
    while process.poll() is None:
        _read_peaks(process.pid, peaks)
        time.sleep(EVERY_S)
    return _peaks_of(process.pid, peaks)


class OwnPeaks:
    """Measures a block of this process: its peak and that of its workers, in `peaks` at the end of the block."""

    peaks = Peaks(0.0, 0.0)

    def __enter__(self) -> "OwnPeaks":
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # resets VmHWM
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
            _read_peaks(os.getpid(), self._seen)
        _read_peaks(os.getpid(), self._seen)


def _read_peaks(pid: int, peaks: dict[int, float]) -> None:
    for member in _family_of(pid):
        peaks[member] = max(peaks.get(member, 0.0), _peak_kib_of(member) / 1024)


def _peaks_of(pid: int, peaks: dict[int, float]) -> Peaks:
    return Peaks(peaks.get(pid, 0.0), max((peak for member, peak in peaks.items() if member != pid), default=0.0))


def _family_of(pid: int) -> list[int]:
    """The process and all of its descendants; none if it has ended."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def _peak_kib_of(pid: int) -> int:
    """VmHWM of /proc/<pid>/status; 0 if the process has ended."""
    try:
        with open(f"/proc/{pid}/status") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0
