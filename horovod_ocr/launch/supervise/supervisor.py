"""Keeps a run going: when a job of it ends, what is left of the job is killed on all hosts, and the run is started
again from its last checkpoint on the hosts that answer.

`decide_next`, `pause_after` and `choose_hosts` decide; `Supervisor` acts.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.hosts.hosts_file import Host, ranks_of, spell_hosts
from horovod_ocr.launch.supervise.attempt import POLL_S, Attempt
from horovod_ocr.launch.supervise.clock import Clock
from horovod_ocr.launch.supervise.cluster import Cluster
from horovod_ocr.launch.supervise.history import AttemptHistory, AttemptResult, Outcome, decide_next, pause_after
from horovod_ocr.launch.supervise.host_pool import HostPool
from horovod_ocr.launch.supervise.job_monitor import JobMonitor
from horovod_ocr.launch.supervise.record import RECORD, LaunchLog, LaunchRecord, Restart, last_step, write_record
from horovod_ocr.launch.supervise.signals import LaunchSignals


@dataclass(frozen=True)
class LaunchSpec:
    """What a launch is asked for."""

    run: Path
    """The folder of the run."""
    hosts: tuple[Host, ...]
    """The hosts that may be used."""
    np: int
    """The number of ranks."""
    min_np: int = 1
    """Go on with fewer ranks while hosts are away, down to this."""
    max_restarts: int = 20
    """Give up after this many."""
    standby: bool = False
    """Prepare the next job while one trains, so that a restart takes less time."""
    steps_alone: int = 0
    """As in ExchangeConfig."""


class Supervisor:
    """Keeps one run going, see `supervise`."""

    def __init__(self, spec: LaunchSpec, record: LaunchRecord, cluster: Cluster, clock: Clock | None = None) -> None:
        self.spec, self.record, self.cluster, self.clock = spec, record, cluster, clock or Clock()
        self.log = LaunchLog(spec.run)
        self.pool = HostPool(spec.hosts, cluster, self.log.line, self.clock)
        self.signals, self.history = LaunchSignals(), AttemptHistory(last_step(spec.run))
        self.has_checkpoint = self.history.step is not None

    def supervise(self) -> int:
        """Train until the run has finished, was asked to stop, or cannot go on; the exit code.

        At the end nothing of the run is left on the hosts that answer. Raises ClusterError if the run cannot begin, or
        after too many restarts.
        """
        with self.signals:
            try:
                return self.run_attempts()
            finally:
                self.cluster.end_standby()
                self.pool.end_all()

    def run_attempts(self) -> int:
        restart = None
        while chosen := self.wait_for_hosts():
            if restart:
                step, attempt = last_step(self.spec.run) or 0, self.record.attempts + 1
                names = [host.name for host in chosen]
                self.log.restart(Restart(attempt, *restart, step=step, hosts=names, ranks=ranks_of(chosen)))
            result = self.attempt(chosen)
            self.history.add(result, last_step(self.spec.run))
            outcome = decide_next(result, self.history)
            if outcome == Outcome.FINISHED:
                self.log.line(f"finished: {self.spec.run}, {result.state.step if result.state else 0} steps")
                return 0
            if self.signals.received and result.is_unsaved:
                return self.leave_unsaved(result)
            if self.signals.received or (outcome == Outcome.STOPPED and not result.request):
                return self.leave(self.signals.received or result.reason)
            if outcome == Outcome.FAILED:
                self.log.line(f"not started again, it would end the same: {result.reason}")
                return result.code
            self.judge_hosts(chosen, result)
            pause_s = 0.0 if outcome == Outcome.STOPPED else self.pause_for(result)
            restart = (result.reason, result.code, pause_s)
        return self.leave(self.signals.received)

    def attempt(self, chosen: tuple[Host, ...]) -> AttemptResult:
        """Start horovodrun on these hosts, and wait for its end."""
        self.record = replace(self.record, attempts=self.record.attempts + 1)
        try:
            write_record(self.spec.run, self.record)
        except OSError as error:
            self.log.line(f"{RECORD} cannot be written ({error.strerror})")
        name = self.job_name(self.record.attempts)
        step = last_step(self.spec.run)
        self.has_checkpoint |= step is not None
        self.log.line(f"attempt {self.record.attempts} from step {step or 0}: {spell_hosts(chosen)}")
        job = self.cluster.start(name, chosen, self.has_checkpoint)
        stall_timeout_s, steps_alone = self.record.stall_timeout_s, self.spec.steps_alone
        monitor = JobMonitor(job, name, self.spec.run, step or 0, stall_timeout_s, self.clock, steps_alone)
        prepare = partial(self.prepare_next, chosen)
        return Attempt(monitor, self.pool, chosen, self.spec.np, self.signals, self.log.line, prepare).run()

    def job_name(self, attempt: int) -> str:
        return f"{self.record.run_id}/{attempt}"

    def prepare_next(self, chosen: tuple[Host, ...]) -> bool:
        """Start the standby on the hosts of the attempt that runs; whether that is done, or not asked for."""
        if self.spec.standby and last_step(self.spec.run) is None:
            return False
        if self.spec.standby:
            self.cluster.prepare(self.job_name(self.record.attempts + 1), chosen)
        return True

    def judge_hosts(self, chosen: tuple[Host, ...], result: AttemptResult) -> None:
        """Leave out a host that answers, but breaks every start. One broken start alone may be chance."""
        suspect = result.suspect if self.history.idle_in_a_row > 1 else None
        if result.took_steps:
            self.pool.note_steps(chosen)
        elif result.outcome == Outcome.AGAIN and (broke := self.pool.blame(chosen, suspect)):
            self.history.broken_by_hosts += 1
            self.log.line(f"no step with {', '.join(broke)}; the next start goes without, if others are enough")

    def pause_for(self, result: AttemptResult) -> float:
        """Pause after a failure, longer after each in a row; for how many seconds. ClusterError after too many."""
        if self.history.failures > self.spec.max_restarts:
            raise ClusterError(
                f"{self.spec.run}: not started again after {self.spec.max_restarts} restarts (--max-restarts); "
                f"the last time: {result.reason}"
            )
        seconds = pause_after(self.history.failures_in_a_row)
        self.log.line(f"{result.reason}; again {f'in {seconds:g} s' if seconds else 'at once'}")
        self.pause(seconds)
        return seconds

    def wait_for_hosts(self) -> tuple[Host, ...]:
        """The hosts to start on, with nothing of the run left on them; () if this launch is asked to stop.

        A run with a checkpoint waits until there are enough hosts. A new run does not wait: ClusterError.
        """
        tries, spec = 0, self.spec
        while not self.signals.received:
            chosen = self.pool.choose(spec.np, spec.min_np)
            if self.signals.received:
                break
            ranks = ranks_of(chosen)
            has_enough = ranks >= spec.min_np
            if has_enough and (spec.run / RECORD).exists():
                if ranks < spec.np:
                    self.log.line(f"{ranks} of {spec.np} ranks; hosts that come back are taken in")
                return chosen
            lack = f"{ranks} of {spec.np} ranks have a host, fewer than --min-np {spec.min_np}"
            if not has_enough and not self.has_checkpoint and self.record.attempts == 0:
                named = "; ".join(f"{name} {problem}" for name, problem in self.pool.problems.items() if problem)
                raise ClusterError(f"{lack}: {named}")
            if tries == 0:
                self.log.line(f"waits: {f'{spec.run} is not there' if has_enough else lack}")
            tries += 1
            self.pause(pause_after(tries + 1))
        return ()

    def pause(self, seconds: float) -> None:
        """Sleep, unless this launch is asked to stop."""
        until_s = self.clock.now_s() + seconds
        while self.clock.now_s() < until_s and not self.signals.received:
            self.clock.sleep(min(POLL_S, max(until_s - self.clock.now_s(), 0.01)))

    def leave(self, why: str | None) -> int:
        step = last_step(self.spec.run) or 0
        self.log.line(f"stopped ({why}) at step {step} of {self.spec.run}; the same command goes on from there")
        return 0

    def leave_unsaved(self, result: AttemptResult) -> int:
        """This launch was asked to stop, but the job could not save."""
        step = last_step(self.spec.run)
        newest = "no checkpoint is there" if step is None else f"nothing newer than the checkpoint of step {step}"
        self.log.line(result.reason)
        self.log.line(f"stopped ({self.signals.received}) without a save: {newest} of {self.spec.run}")
        return result.code if result.code > 0 else 1
