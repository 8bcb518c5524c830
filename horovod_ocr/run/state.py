"""The state of a run, in its folder: root writes it every few seconds; others read it, and can ask the run to stop.

runs/<name>/state.json    written by root's heartbeat
runs/<name>/REQUEST       written by others: save at the next meeting of the ranks, then stop
"""

import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path

from horovod_ocr.errors import CheckpointError
from horovod_ocr.run.folder import Ownership
from sharding.system.files import write_whole

STATE, REQUEST = "state.json", "REQUEST"
JOB_VARIABLE = "HOROVOD_OCR_JOB"  # environment variable of all ranks of a supervised job: RUN_ID/ATTEMPT
BEAT_S = 2.0
SILENT_S = 60.0  # a run that has written no state for this long is not training any more


class RunStatus(StrEnum):
    """What a run is doing, or how it ended."""

    TRAINING = "training"
    """Steps are taken, or a validation runs."""
    FINISHED = "finished"
    """All steps are taken."""
    STOPPED = "stopped"
    """It was asked to stop, and has saved."""
    FAILED = "failed"
    """It ended with an error."""


@dataclass(frozen=True)
class RunState:
    """The content of state.json."""

    state: RunStatus
    """What it is doing, or how it ended."""
    step: int
    """Updates so far, over all jobs of the run."""
    total_steps: int
    """Of the whole run."""
    ranks: int = 1
    """The number of ranks of the job."""
    host: str = ""
    """The host of rank 0."""
    pid: int = 0
    """The process of rank 0."""
    job: str = ""
    """JOB_VARIABLE of the ranks; empty without a supervisor."""
    time: float = 0.0
    """When it was written, in seconds since 1970."""
    reason: str = ""
    """Why the run stopped or failed."""

    @property
    def is_silent(self) -> bool:
        """Whether the latest state says `training` but is older than SILENT_S."""
        return self.state == RunStatus.TRAINING and time.time() - self.time > SILENT_S


def write_state(run: Path, state: RunState) -> None:
    """Write the state, with the time of now. Raises OSError."""
    content = json.dumps(asdict(replace(state, time=round(time.time(), 3))), ensure_ascii=False)
    write_whole(run / STATE, f"{content}\n".encode("utf-8", "backslashreplace"))


def read_state(run: Path) -> RunState | None:
    """None if there is no state, or if it is damaged."""
    try:
        state = RunState(**json.loads((run / STATE).read_text("utf-8")))
        state = replace(state, state=RunStatus(state.state))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    kinds = {entry.name: entry.type for entry in fields(RunState)}
    return state if all(type(getattr(state, name)) is kinds[name] for name in kinds) else None


def request_stop(run: Path, job: str, why: str) -> None:
    """Ask a job (its JOB_VARIABLE) to save and stop; `why` becomes the reason of its last state. Raises OSError."""
    write_whole(run / REQUEST, f"{job}\n{why}\n".encode("utf-8", "backslashreplace"))


class Heartbeat:
    """Root's thread that writes the state of the run and reads requests. A context; it does nothing on other ranks.

    Full or absent storage does not end it: the next beat tries again. Once another job has taken the run over, it
    writes nothing and asks this one to stop.
    """

    def __init__(self, run: Path, ownership: Ownership | None, total_steps: int, ranks: int):
        """ownership: of root; None on other ranks."""
        self.run, self.ownership = run, ownership
        job = os.environ.get(JOB_VARIABLE, "")
        self.state = RunState(RunStatus.TRAINING, 0, total_steps, ranks, socket.gethostname(), os.getpid(), job)
        self.step = 0
        self.request: str | None = None  # why the run was asked to stop
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        if self.ownership:
            self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Without `leave` the last state written says `training`, and its time shows that it is out of date."""
        self.end()

    def end(self) -> None:
        self.ended.set()
        if self.thread.is_alive():
            self.thread.join()

    def beat(self) -> None:
        while True:
            self.write(replace(self.state, step=self.step))
            if self.ended.wait(BEAT_S):
                return
            self.read_request()

    def owns_run(self) -> bool:
        """Whether this job may write here now. Asks it to stop if another job has taken the run over."""
        if self.ownership is None:
            return False
        try:
            self.ownership.check()
        except OSError:
            return False
        except CheckpointError as error:
            self.request = str(error)
            return False
        return True

    def read_request(self) -> None:
        if not self.owns_run():  # a request would be for the job that took over
            return
        with suppress(OSError):
            job, _, why = (self.run / REQUEST).read_text("utf-8", "replace").partition("\n")
            (self.run / REQUEST).unlink()
            if job == self.state.job:  # else it was for an earlier job, which ended before it read this
                self.request = why.strip() or "asked to"

    def write(self, state: RunState) -> None:
        if self.owns_run():
            with suppress(OSError):
                write_state(self.run, state)

    def leave(self, state: RunStatus, reason: str | None = None) -> None:
        """Write the last state of the run: finished, stopped or failed."""
        self.end()
        self.write(replace(self.state, state=state, step=self.step, reason=reason or ""))
