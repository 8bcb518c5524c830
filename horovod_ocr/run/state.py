"""Where a run is, in its folder: root says it every few seconds, so that others can see it and ask something of it.

runs/<name>/state.json    written by root's heartbeat
runs/<name>/REQUEST       written by others: stop at the next step, save, leave
"""

import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from sharding.system.files import write_whole

STATE, REQUEST = "state.json", "REQUEST"
JOB_VARIABLE = "HOROVOD_OCR_JOB"  # run id and attempt of a supervised job, set for all its ranks
BEAT_S = 2.0
SILENT_S = 60.0  # a run that has said nothing for so long is not training any more


@dataclass(frozen=True)
class RunState:
    """state: training, finished, stopped (asked to, and saved) or failed; reason: why it stopped or failed.

    ranks: of the job. host, pid: of its root. job: JOB_VARIABLE, "" without a supervisor. time: s since 1970.
    """

    state: str
    step: int
    total_steps: int
    ranks: int = 1
    host: str = ""
    pid: int = 0
    job: str = ""
    time: float = 0.0
    reason: str = ""

    @property
    def is_silent(self) -> bool:
        """Does it say that it is training, but has not said so lately?"""
        return self.state == "training" and time.time() - self.time > SILENT_S


def write_state(run: Path, state: RunState) -> None:
    """Stamped with now. Raises OSError."""
    content = json.dumps(asdict(replace(state, time=round(time.time(), 3))), ensure_ascii=False)
    write_whole(run / STATE, f"{content}\n".encode("utf-8", "backslashreplace"))


def read_state(run: Path) -> RunState | None:
    """None where there is none, or none that can be read."""
    try:
        values = json.loads((run / STATE).read_text("utf-8"))
        state = RunState(**values)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    kinds = {entry.name: entry.type for entry in fields(RunState)}
    return state if all(type(getattr(state, name)) is kinds[name] for name in kinds) else None


def request_stop(run: Path, job: str, why: str) -> None:
    """Ask a job (its JOB_VARIABLE) to save and leave; `why` becomes the reason of its last state. Raises OSError."""
    write_whole(run / REQUEST, f"{job}\n{why}\n".encode("utf-8", "backslashreplace"))


class Heartbeat:
    """Root's thread that says where the run is and hears what is asked of it. A context; on other ranks it is silent.

    Storage that is away for a while, or full, does not end it: the next beat tries again.
    """

    def __init__(self, run: Path, is_root: bool, total_steps: int, ranks: int):
        self.run, self.is_root = run, is_root
        job = os.environ.get(JOB_VARIABLE, "")
        self.state = RunState("training", 0, total_steps, ranks, socket.gethostname(), os.getpid(), job)
        self.step = 0
        self.request = ""  # why the run is to stop
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        if self.is_root:
            self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Ended without a last word: its state stays at training, and grows old."""
        self.end()

    def end(self) -> None:
        self.ended.set()
        if self.thread.is_alive():
            self.thread.join()

    def beat(self) -> None:
        while True:
            self.say(replace(self.state, step=self.step))
            if self.ended.wait(BEAT_S):
                return
            self.listen()

    def listen(self) -> None:
        with suppress(OSError):
            job, _, why = (self.run / REQUEST).read_text("utf-8", "replace").partition("\n")
            (self.run / REQUEST).unlink()
            if job == self.state.job:  # else it was asked of a job that did not live to hear it
                self.request = why.strip() or "asked to"

    def say(self, state: RunState) -> None:
        with suppress(OSError):
            write_state(self.run, state)

    def leave(self, state: str, reason: str = "") -> None:
        """The last word: finished, stopped or failed."""
        self.end()
        if self.is_root:
            self.say(replace(self.state, state=state, step=self.step, reason=reason))
