"""What a supervised run leaves in its folder, so that the same command takes it up again.

runs/<name>/launch.json       the run's id, the train options that began it, attempts so far
runs/<name>/restarts.jsonl    a line for each restart: why, from which step, on which hosts
runs/<name>/launch.lock       held by the supervisor that is at work
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
from horovod_ocr.run.folder import LAST, pointed_to, step_of
from horovod_ocr.run.state import read_state
from sharding.system.files import write_whole

RECORD, RESTARTS, LOCK, LOG = "launch.json", "restarts.jsonl", "launch.lock", "train.log"


@dataclass(frozen=True)
class LaunchRecord:
    """run_id marks all processes of the run, on every host. options: of `train`. attempts: horovodruns started."""

    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    options: list[str] = field(default_factory=list)
    attempts: int = 0
    stall_timeout_s: float = 300.0


@dataclass(frozen=True)
class Restart:
    """attempt: the one that begins. step: of the checkpoint that it goes on from. hosts: those it runs on."""

    attempt: int
    reason: str
    exit_code: int
    pause_s: float
    step: int
    hosts: list[str]
    ranks: int


def write_record(run: Path, record: LaunchRecord) -> None:
    """Raises OSError."""
    content = json.dumps(asdict(record), ensure_ascii=False)
    write_whole(run / RECORD, f"{content}\n".encode("utf-8", "backslashreplace"))


def read_record(run: Path) -> LaunchRecord | None:
    """None where there is none, or none that can be read."""
    try:
        return LaunchRecord(**json.loads((run / RECORD).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def last_step(run: Path) -> int | None:
    """The step of the newest checkpoint, 0 where its name cannot be read; None where there is none."""
    try:
        newest = pointed_to(run, LAST)
    except CheckpointError:
        return None
    return step_of(newest) if newest else 0


def find_run(runs: Path, options: list[str]) -> Path | None:
    """The newest run that the same train options began."""
    records = sorted(runs.glob(f"*/{RECORD}"), key=lambda path: (path.stat().st_mtime_ns, path))
    alike = [path.parent for path in records if (found := read_record(path.parent)) and found.options == options]
    return alike[-1] if alike else None


def take_up(run: Path, options: list[str], stall_timeout_s: float) -> LaunchRecord:
    """The record of a run to supervise: its own, or a new one, written. Makes the folder.

    ClusterError where something else is training it.
    """
    run.mkdir(parents=True, exist_ok=True)
    before = read_record(run)
    record = replace(before or LaunchRecord(options=options), stall_timeout_s=stall_timeout_s)
    state = read_state(run)
    if state and state.state == "training" and not state.is_silent and not state.job.startswith(f"{record.run_id}/"):
        raise ClusterError(
            f"{run} is being trained by process {state.pid} on {state.host}; end that, or name another with --run"
        )
    write_record(run, record)
    return record


def lock_run(run: Path) -> TextIO:
    """Held until the file is closed. ClusterError where another supervisor of this machine holds it."""
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
    """What the supervisor says: on the console, and between the job's own lines in train.log."""

    def __init__(self, run: Path):
        self.run = run

    def line(self, text: str) -> None:
        write_line(f"launch: {text}\n", sys.stdout)
        self.append(LOG, f"{time.strftime('%Y-%m-%d %H:%M:%S')} launch: {text}")

    def restart(self, restart: Restart) -> None:
        self.append(RESTARTS, json.dumps({"time": round(time.time(), 3), **asdict(restart)}, ensure_ascii=False))

    def append(self, name: str, line: str) -> None:
        """A full disk, or storage that is away, costs the line and not the run."""
        try:
            with open(self.run / name, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(line + "\n")
        except OSError as error:
            write_line(f"launch: {self.run / name}: cannot be written ({error.strerror})\n", sys.stdout)
