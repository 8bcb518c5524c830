"""horovodrun, supervised: what is left of a job that ended is ended everywhere, and the job is started again from the
last checkpoint, on the hosts that answer.

What comes next is decided by pure functions (`judge`, `pause_after`, `roster.choose_hosts`); `Supervisor` acts on it.
"""

import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from horovod_ocr.console import silence
from horovod_ocr.errors import ClusterError, ConfigError, DataError, DivergedError
from horovod_ocr.launch.hosts.hosts_file import Host, ranks_of, spell_hosts
from horovod_ocr.launch.supervise.host_pool import LOOK_S, HostPool
from horovod_ocr.launch.supervise.job import Job
from horovod_ocr.launch.supervise.job_monitor import Watch
from horovod_ocr.launch.supervise.record import (
    RECORD,
    LaunchLog,
    LaunchRecord,
    Restart,
    last_step,
    write_record,
)
from horovod_ocr.run.signals import ASKING, StopSignals
from horovod_ocr.run.state import RunState

POLL_S = 0.5
LONGEST_PAUSE_S = 60.0
DATA_TRIES = 5  # storage comes back after its host does
FINISHED, STOPPED, FAILED, AGAIN = "finished", "stopped", "failed", "again"


@dataclass(frozen=True)
class LaunchSpec:
    """What is asked of a launch: a run on np ranks of these hosts, on at least min_np while some hosts are away."""

    run: Path
    hosts: tuple[Host, ...]
    np: int
    min_np: int = 1
    max_restarts: int = 20


class AttemptResult(NamedTuple):
    """How an attempt ended. state: the job's last word. request: what we had asked of it, "" for nothing.

    forced: we ended it, or a host of it is gone; both send ranks a SIGTERM that is nobody's wish to stop the run.
    suspect: the host that seems to have ended it, "" for none.
    """

    code: int
    reason: str
    state: RunState | None
    took_steps: bool
    request: str = ""
    forced: bool = False
    suspect: str = ""

    @property
    def outcome(self) -> str:
        """FINISHED or STOPPED by the last word, which goes before exit codes: all is saved by then. Else AGAIN."""
        said = self.state.state if self.state else ""
        return said if said == FINISHED or (said == STOPPED and not self.forced) else AGAIN

    @property
    def is_unsaved(self) -> bool:
        """Did it begin, and end without having saved?"""
        return self.state is not None and self.state.state not in (FINISHED, STOPPED)


class Tally:
    """What the attempts of this launch came to. step: of the newest checkpoint."""

    def __init__(self, step: int | None = None):
        self.step = step
        self.has_stepped = False  # did any attempt take a step?
        self.idle = 0  # attempts in a row, the latest included, that took none
        self.failures = self.failures_in_a_row = 0  # without a newer checkpoint between them
        self.broken_by_hosts = 0  # of the failures: latest starts without a step, for which hosts are left out

    def add(self, ending: AttemptResult, step: int | None) -> None:
        self.has_stepped |= ending.took_steps
        self.idle = 0 if ending.took_steps else self.idle + 1
        if ending.took_steps:  # it does go on without those hosts: however often they come back, they end no run
            self.failures, self.broken_by_hosts = self.failures - self.broken_by_hosts, 0
        if step != self.step:
            self.step, self.failures_in_a_row = step, 0
        if ending.outcome == AGAIN:
            self.failures, self.failures_in_a_row = self.failures + 1, self.failures_in_a_row + 1


def judge(ending: AttemptResult, tally: Tally) -> str:
    """What comes after an attempt: FINISHED, STOPPED (asked to, and saved), FAILED (as it would again) or AGAIN."""
    if ending.outcome != AGAIN:
        return ending.outcome
    if ending.code in (ConfigError.exit_code, DivergedError.exit_code):
        return FAILED
    # data or a checkpoint: final when a run begins; later it may be storage that a host does not have yet
    may_come_back = ending.took_steps or (tally.has_stepped and tally.idle < DATA_TRIES)
    if ending.code == DataError.exit_code and not may_come_back:
        return FAILED
    return AGAIN


def pause_after(failures: int) -> float:
    """Seconds before the next start; failures: in a row, without a newer checkpoint between them, at least 1."""
    return min(2.0 ** (failures - 1), LONGEST_PAUSE_S)


class LaunchSignals(StopSignals):
    """SIGTERM, SIGINT, SIGUSR1 and, but under nohup, SIGHUP are noted; a second SIGINT raises KeyboardInterrupt."""

    def __init__(self) -> None:
        super().__init__()
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            self.asking = (*ASKING, signal.SIGHUP)

    def note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == "SIGINT":
            raise KeyboardInterrupt
        if number == signal.SIGHUP:
            for stream in (sys.stdout, sys.stderr):  # to a terminal that is gone, a line more would be an error
                if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                    silence(stream)
        self.received = signal.Signals(number).name


class Supervisor:
    """Keeps one run going. See `supervise`. start(job's name, hosts, resumes) starts horovodrun; clear and check: of
    the HostPool."""

    def __init__(
        self,
        wish: LaunchSpec,
        record: LaunchRecord,
        start: Callable[[str, tuple[Host, ...], bool], Job],
        clear: Callable[[tuple[Host, ...], str], dict[str, str]],
        check: Callable[[tuple[Host, ...], tuple[Host, ...]], dict[str, str]],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.wish, self.record = wish, record
        self.start, self.clock, self.sleep = start, clock, sleep
        self.log = LaunchLog(wish.run)
        self.roster = HostPool(wish.hosts, clear, check, self.log.line, clock)
        self.signals, self.tally = LaunchSignals(), Tally(last_step(wish.run))
        self.has_checkpoint = self.tally.step is not None

    def supervise(self) -> int:
        """Train until the run is finished, or asked to stop, or cannot go on; the exit code.

        ClusterError where it cannot be begun, or after too many restarts. Nothing of the run is left on hosts that
        answer.
        """
        with self.signals:
            try:
                return self.run_attempts()
            finally:
                self.roster.end_all()

    def run_attempts(self) -> int:
        restart = None
        while chosen := self.wait_for_hosts():
            if restart:
                step, attempt = last_step(self.wish.run) or 0, self.record.attempts + 1
                names = [host.name for host in chosen]
                self.log.restart(Restart(attempt, *restart, step=step, hosts=names, ranks=ranks_of(chosen)))
            ending = self.attempt(chosen)
            self.tally.add(ending, last_step(self.wish.run))
            verdict = judge(ending, self.tally)
            if verdict == FINISHED:
                self.log.line(f"finished: {self.wish.run}, {ending.state.step} steps")
                return 0
            if self.signals.received and ending.is_unsaved:
                return self.leave_unsaved(ending)
            if self.signals.received or (verdict == STOPPED and not ending.request):
                return self.leave(self.signals.received or ending.reason)
            if verdict == FAILED:
                self.log.line(f"not started again, it would end the same: {ending.reason}")
                return ending.code
            self.judge_hosts(chosen, ending)
            restart = (ending.reason, ending.code, 0.0 if verdict == STOPPED else self.pause_for(ending))
        return self.leave(self.signals.received)

    def judge_hosts(self, chosen: tuple[Host, ...], ending: AttemptResult) -> None:
        """The run goes on without a host that answers, but breaks every start; once may be chance."""
        suspect = ending.suspect if self.tally.idle > 1 else ""
        if ending.took_steps:
            self.roster.note_steps(chosen)
        elif ending.outcome == AGAIN and (broke := self.roster.blame(chosen, suspect)):
            self.tally.broken_by_hosts += 1
            self.log.line(f"no step with {', '.join(broke)}; the next start goes without, if others are enough")

    def pause_for(self, ending: AttemptResult) -> float:
        """Pause after a failure, longer after each in a row; for how many seconds. ClusterError after too many."""
        if self.tally.failures > self.wish.max_restarts:
            raise ClusterError(
                f"{self.wish.run}: not started again after {self.wish.max_restarts} restarts (--max-restarts); "
                f"the last time: {ending.reason}"
            )
        seconds = pause_after(self.tally.failures_in_a_row)
        self.log.line(f"{ending.reason}; again in {seconds:g} s")
        self.pause(seconds)
        return seconds

    def wait_for_hosts(self) -> tuple[Host, ...]:
        """The hosts to start on, none of the run left on them; none where we are asked to stop.

        A run that has a checkpoint waits for as long as it takes. One that would begin does not: ClusterError.
        """
        tries = 0
        while not self.signals.received:
            chosen = self.roster.choose(self.wish.np, self.wish.min_np)
            if self.signals.received:
                break
            wanted, ranks = self.wish.np, ranks_of(chosen)
            enough = ranks >= self.wish.min_np
            if enough and (self.wish.run / RECORD).exists():
                if ranks < wanted:
                    self.log.line(f"{ranks} of {wanted} ranks; hosts that come back are taken in")
                return chosen
            lack = f"{ranks} of {wanted} ranks have a host, fewer than --min-np {self.wish.min_np}"
            if not enough and not self.has_checkpoint and self.record.attempts == 0:
                named = "; ".join(f"{name} {problem}" for name, problem in self.roster.problems.items() if problem)
                raise ClusterError(f"{lack}: {named}")
            if tries == 0:
                self.log.line(f"waits: {f'{self.wish.run} is not there' if enough else lack}")
            tries += 1
            self.pause(pause_after(tries))
        return ()

    def attempt(self, chosen: tuple[Host, ...]) -> AttemptResult:
        """One horovodrun, watched to its end."""
        self.record = replace(self.record, attempts=self.record.attempts + 1)
        try:
            write_record(self.wish.run, self.record)
        except OSError as error:
            self.log.line(f"{RECORD} cannot be written ({error.strerror})")
        name = f"{self.record.run_id}/{self.record.attempts}"
        step = last_step(self.wish.run)
        self.has_checkpoint |= step is not None
        self.log.line(f"attempt {self.record.attempts} from step {step or 0}: {spell_hosts(chosen)}")
        job = self.start(name, chosen, self.has_checkpoint)
        watch = Watch(job, name, self.wish.run, step or 0, self.record.stall_timeout_s, self.clock)
        try:
            why = self.watch(watch, chosen)
        finally:
            job.end()
        state, code = watch.last_word(self.sleep), job.poll()
        stopped = state is not None and state.state == STOPPED
        said = (watch.request or f"asked to stop: {state.reason}") if stopped else job.words.reason(code)
        lost = self.roster.after_end(chosen)
        reason = "; ".join([why or said, *lost])
        return AttemptResult(code, reason, state, watch.took_steps, watch.request, bool(why or lost), job.words.suspect)

    def watch(self, watch: Watch, chosen: tuple[Host, ...]) -> str:
        """Until horovodrun has ended, "", or must be ended: why."""
        next_look_s = self.clock() + LOOK_S
        has_too_few = ranks_of(chosen) < self.wish.np
        while watch.job.poll() is None:
            if why := watch.look():
                return why
            if self.signals.received and watch.state is None:
                return self.signals.received  # nothing to save yet
            if self.signals.received:
                watch.ask(self.signals.received, must_leave=True)
            elif has_too_few and watch.took_steps and not watch.request and self.clock() >= next_look_s:
                if back := self.roster.look_for_returned(watch.name, chosen):
                    self.log.line(f"{back} is back; the job saves, and starts again with it")
                    watch.ask(f"{back} is back", must_leave=False)
                next_look_s = self.clock() + LOOK_S
            self.sleep(POLL_S)
        return ""

    def pause(self, seconds: float) -> None:
        until_s = self.clock() + seconds
        while self.clock() < until_s and not self.signals.received:
            self.sleep(min(POLL_S, max(until_s - self.clock(), 0.01)))

    def leave(self, why: str) -> int:
        step = last_step(self.wish.run) or 0
        self.log.line(f"stopped ({why}) at step {step} of {self.wish.run}; the same command goes on from there")
        return 0

    def leave_unsaved(self, ending: AttemptResult) -> int:
        """Asked to stop, but the job could not save."""
        step = last_step(self.wish.run)
        newest = "no checkpoint is there" if step is None else f"nothing newer than the checkpoint of step {step}"
        self.log.line(ending.reason)
        self.log.line(f"stopped ({self.signals.received}) without a save: {newest} of {self.wish.run}")
        return ending.code if ending.code > 0 else 1
