"""Watching one attempt: is the job well, how far is it, and must it be ended?"""

import time
from collections.abc import Callable
from pathlib import Path

from horovod_ocr.launch.supervise.job import Job
from horovod_ocr.run.state import RunState, read_state, request_stop

START_UP_S = 120.0  # imports, shards, first batches: a job may say nothing for so long, beyond stall_timeout_s
GRACE_S = 15.0  # for horovodrun to end all ranks after the first has ended; it gives them 5 s itself
LEAVE_S = 60.0  # for all ranks to leave after the last word of the run; and to hear us, beyond stall_timeout_s
ASK_S = 2.0  # asked again: a root that was cut off may live, and take what is asked of another job away
WORDS_S = 3.0  # a network file system may show the last word of another host a little later


class Watch:
    """Looks at a job now and then. `state`: the job's own last word, None before its first."""

    def __init__(
        self,
        job: Job,
        name: str,
        run: Path,
        first_step: int,
        stall_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.job, self.name, self.run, self.first_step = job, name, run, first_step
        self.stall_timeout_s, self.clock = stall_timeout_s, clock
        self.state: RunState | None = None
        self.beaten_s = clock()  # by our own clock: other hosts' may differ
        self.since_s: dict[str, float] = {}
        self.request, self.must_leave = "", False
        self.asked_s, self.step_asked = -ASK_S, 0

    @property
    def took_steps(self) -> bool:
        return self.state is not None and self.state.step > self.first_step

    @property
    def has_left(self) -> bool:
        return self.state is not None and self.state.state in ("finished", "stopped", "failed")

    def read(self) -> None:
        state = read_state(self.run)
        if state and state.job == self.name and state != self.state:
            self.state, self.beaten_s = state, self.clock()

    @property
    def is_deaf(self) -> bool:
        """Does it take steps though it must leave? It hears between steps; while it validates, its own watchdogs say
        whether it is well."""
        return self.must_leave and self.state is not None and self.state.step > self.step_asked

    def look(self) -> str:
        """Why the job must be ended now; "" while it may go on."""
        self.read()
        if self.request:
            self.ask(self.request, self.must_leave)
        silent_s = self.stall_timeout_s + START_UP_S
        if self.clock() - self.beaten_s > silent_s:
            return f"no sign of life of rank 0 for {silent_s:g} s"
        if self.lasts("ended", self.job.words.tell_of_an_end) > GRACE_S:
            return f"{self.job.words.reason(0)}; horovodrun did not end"
        if self.lasts("left", self.has_left) > LEAVE_S:
            return f"horovodrun did not end {LEAVE_S:g} s after the run had {self.state.state}"
        if self.lasts("deaf", self.is_deaf) > self.stall_timeout_s + LEAVE_S:
            return f"asked to stop ({self.request}), it did not"
        return ""

    def lasts(self, name: str, holds: bool) -> float:
        """For how many seconds something has held without a break."""
        if not holds:
            self.since_s.pop(name, None)
            return 0.0
        return self.clock() - self.since_s.setdefault(name, self.clock())

    def ask(self, why: str, must_leave: bool) -> None:
        """Ask the job to save and leave; again until it does. must_leave: else it may go on if it does not hear."""
        if must_leave and not self.must_leave:
            self.step_asked = self.state.step if self.state else 0
        self.request, self.must_leave = why, must_leave
        if self.clock() - self.asked_s < ASK_S:
            return
        self.asked_s = self.clock()
        try:
            request_stop(self.run, self.name, why)
        except OSError:
            pass  # a full disk, or storage that is away: asked again

    def last_word(self, sleep: Callable[[float], None]) -> RunState | None:
        """The job's state after its end."""
        until_s = self.clock() + WORDS_S
        self.read()
        while self.state and not self.has_left and self.job.poll() == 0 and self.clock() < until_s:
            sleep(0.2)
            self.read()
        return self.state
