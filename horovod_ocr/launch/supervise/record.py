"""The files that a supervisor keeps in the folder of its run, so that the same command can go on with the run.

runs/<name>/launch.json       the run's id, the train options that began it, the number of attempts
runs/<name>/restarts.jsonl    a line for each restart: why, from which step, on which hosts
runs/<name>/launch.lock       held by the supervisor while it runs
"""

import fcntl
import json
import sys
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TextIO

from horovod_ocr.errors import CheckpointError, ClusterError
from horovod_ocr.launch.supervise.job import write_line
from horovod_ocr.run.folder import LAST, TRAIN_LOG, pointed_to, step_of
from horovod_ocr.run.state import RunStatus, read_state
from sharding.system.files import write_whole

RECORD, RESTARTS, LOCK, LOG = "launch.json", "restarts.jsonl", "launch.lock", TRAIN_LOG


@dataclass(frozen=True)
class LaunchRecord:
    """The content of launch.json."""

    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    """Marks all processes of the run, on every host."""
    options: list[str] = field(default_factory=list)
    """The options of `train` that began the run."""
    attempts: int = 0
    """The number of times that horovodrun was started."""
    stall_timeout_s: float = 300.0
    """As in RanksConfig."""


@dataclass(frozen=True)
class Restart:
    """A line of restarts.jsonl."""

    attempt: int
    """The number of the attempt that begins."""
    reason: str
    """Why the attempt before it ended."""
    exit_code: int
    """The exit code of horovodrun in the attempt before it."""
    pause_s: float
    """The pause between the two."""
    step: int
    """The step of the checkpoint that it goes on from."""
    hosts: list[str]
    """The hosts that it runs on."""
    ranks: int
    """The number of its ranks."""


def write_record(run: Path, record: LaunchRecord) -> None:
    """Raises OSError."""
    content = json.dumps(asdict(record), ensure_ascii=False)
    write_whole(run / RECORD, f"{content}\n".encode("utf-8", "backslashreplace"))


def read_record(run: Path) -> LaunchRecord | None:
    """None if there is no record, or if it is damaged."""
    try:
        return LaunchRecord(**json.loads((run / RECORD).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def last_step(run: Path) -> int | None:
    """The step of the newest checkpoint, None without one; 0 if the name of the checkpoint cannot be read."""
    try:
        newest = pointed_to(run, LAST)
    except CheckpointError:
        return None
    return step_of(newest) if newest else 0


def find_run(runs: Path, options: list[str]) -> Path | None:
    """The newest run that began with the same train options."""
    records = sorted(runs.glob(f"*/{RECORD}"), key=lambda path: (path.stat().st_mtime_ns, path))
    alike = [path.parent for path in records if (found := read_record(path.parent)) and found.options == options]
    return alike[-1] if alike else None


def open_record(run: Path, options: list[str], stall_timeout_s: float) -> LaunchRecord:
    """The record of a run that is to be supervised: its own, or a new one. Makes the folder, and writes the record.

    Raises ClusterError if another process trains this run.
    """
    run.mkdir(parents=True, exist_ok=True)
    before = read_record(run)
    record = replace(before or LaunchRecord(options=options), stall_timeout_s=stall_timeout_s)
    state = read_state(run)
    if (
        state
        and state.state == RunStatus.TRAINING
        and not state.is_silent
        and not state.job.startswith(f"{record.run_id}/")
    ):
        raise ClusterError(
            f"{run} is being trained by process {state.pid} on {state.host}; end that, or name another with --run"
        )
    write_record(run, record)
    return record


def lock_run(run: Path) -> TextIO:
    """A lock, held until the file is closed. Raises ClusterError if another supervisor on this machine holds it."""
    file = open(run / LOCK, "w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ClusterError(f"{run} is supervised by another launch on this machine; wait for it, or end it") from error
    except OSError:
        pass  # a file system without locks
    return file


class LaunchLog:
    """The lines of a supervisor: on the console, and in train.log between the lines of its job."""

    def __init__(self, run: Path):
        self.run = run

    def line(self, text: str) -> None:
        write_line(f"launch: {text}\n", sys.stdout)
        self.append(LOG, f"{time.strftime('%Y-%m-%d %H:%M:%S')} launch: {text}")

    def restart(self, restart: Restart) -> None:
        self.append(RESTARTS, json.dumps({"time": round(time.time(), 3), **asdict(restart)}, ensure_ascii=False))

    def append(self, name: str, line: str) -> None:
        """If the line cannot be written, it is lost, and the run goes on."""
        try:
            with open(self.run / name, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(line + "\n")
        except OSError as error:
            write_line(f"launch: {self.run / name}: cannot be written ({error.strerror})\n", sys.stdout)
