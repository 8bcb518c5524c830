"""Monitors one attempt: does the job report, how far is it, and must it be ended?"""

from contextlib import suppress
from pathlib import Path

from horovod_ocr.launch.supervise.clock import Clock
from horovod_ocr.launch.supervise.job import Job
from horovod_ocr.run.state import RunState, RunStatus, read_state, request_stop

START_UP_S = 120.0  # for imports, shards and first batches, beyond stall_timeout_s
GRACE_S = 15.0  # for horovodrun to end all ranks after the first has ended; it gives them 5 s itself
LEAVE_S = 60.0  # for all ranks to leave after the run's last state; and to obey a request, beyond stall_timeout_s
REQUEST_EVERY_S = 2.0  # repeated: a cut-off root of an earlier job may take the request away
LAST_STATE_S = 3.0  # a network file system may show the last state from another host a little later


class JobMonitor:
    """Reads the state of a job now and then, and passes requests on to it."""

    def __init__(
        self,
        job: Job,
        name: str,
        run: Path,
        first_step: int,
        stall_timeout_s: float,
        clock: Clock | None = None,
        steps_alone: int = 0,
    ) -> None:
        """steps_alone: as in ExchangeConfig."""
        self.job, self.name, self.run, self.first_step = job, name, run, first_step
        self.stall_timeout_s, self.clock = stall_timeout_s, clock or Clock()
        self.steps_alone = steps_alone
        self.state: RunState | None = None  # the latest of this job, None before its first
        self.reported_s = self.clock.now_s()  # when `state` last changed, by our clock: other hosts' may differ
        self.since_s: dict[str, float] = {}  # condition -> since when it holds without a break
        self.request: str | None = None  # why the job was asked to stop
        self.must_leave = False  # is it to be ended if it does not stop?
        self.requested_s, self.requested_at_step = -REQUEST_EVERY_S, 0

    @property
    def took_steps(self) -> bool:
        return self.state is not None and self.state.step > self.first_step

    @property
    def has_left(self) -> bool:
        """Has the run written its last state?"""
        return self.state is not None and self.state.state != RunStatus.TRAINING

    @property
    def ignores_request(self) -> bool:
        """Does it take steps although it must leave?

        It reads requests between steps, or where its ranks meet. During a validation its own watchdogs notice if it
        hangs.
        """
        if not self.must_leave or self.state is None:
            return False
        return self.state.step > self.requested_at_step + self.steps_alone

    def read(self) -> None:
        """Read the state, if it is of this job."""
        state = read_state(self.run)
        if state and state.job == self.name and state != self.state:
            self.state, self.reported_s = state, self.clock.now_s()

    def check(self) -> str | None:
        """Why the job must be ended now; None if it may go on."""
        self.read()
        if self.request:
            self.ask(self.request, self.must_leave)
        silent_s = self.stall_timeout_s + START_UP_S
        if self.clock.now_s() - self.reported_s > silent_s:
            return f"no heartbeat of rank 0 for {silent_s:g} s"
        if self.lasts_s("ended", self.job.output.tells_of_an_end) > GRACE_S:
            return f"{self.job.output.reason(0)}; horovodrun did not end"
        if self.lasts_s("left", self.has_left) > LEAVE_S and self.state:
            return f"horovodrun did not end {LEAVE_S:g} s after the run had {self.state.state}"
        if self.lasts_s("ignores", self.ignores_request) > self.stall_timeout_s + LEAVE_S:
            return f"asked to stop ({self.request}), it did not"
        return None

    def lasts_s(self, condition: str, holds: bool) -> float:
        """For how long a condition has held without a break."""
        if not holds:
            self.since_s.pop(condition, None)
            return 0.0
        return self.clock.now_s() - self.since_s.setdefault(condition, self.clock.now_s())

    def ask(self, why: str, must_leave: bool) -> None:
        """Ask the job to save and stop. `check` repeats it until it does. must_leave: end the job if it does not."""
        if must_leave and not self.must_leave:
            self.requested_at_step = self.state.step if self.state else 0
        self.request, self.must_leave = why, must_leave
        if self.clock.now_s() - self.requested_s < REQUEST_EVERY_S:
            return
        self.requested_s = self.clock.now_s()
        with suppress(OSError):  # full or absent storage: it is repeated
            request_stop(self.run, self.name, why)

    def last_state(self) -> RunState | None:
        """The state of a job that has ended, once it is there to read."""
        until_s = self.clock.now_s() + LAST_STATE_S
        self.read()
        while self.state and not self.has_left and self.job.poll() == 0 and self.clock.now_s() < until_s:
            self.clock.sleep(0.2)
            self.read()
        return self.state
