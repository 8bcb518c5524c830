"""One attempt of a supervised run: a horovodrun from its start to its end."""

from collections.abc import Callable

from horovod_ocr.launch.hosts.hosts_file import Host, ranks_of
from horovod_ocr.launch.supervise.history import AttemptResult
from horovod_ocr.launch.supervise.host_pool import LOOK_S, HostPool
from horovod_ocr.launch.supervise.job_monitor import JobMonitor
from horovod_ocr.launch.supervise.signals import LaunchSignals
from horovod_ocr.run.state import RunStatus

POLL_S = 0.2


class Attempt:
    """A job that runs on these hosts, of np ranks if they are enough. say: called with news of it.

    prepare: called now and then once it has taken steps, until the next job is prepared, which it returns.
    """

    def __init__(
        self,
        monitor: JobMonitor,
        pool: HostPool,
        hosts: tuple[Host, ...],
        np: int,
        signals: LaunchSignals,
        say: Callable[[str], None],
        prepare: Callable[[], bool],
    ) -> None:
        self.monitor, self.pool, self.hosts, self.np = monitor, pool, hosts, np
        self.signals, self.say, self.clock = signals, say, monitor.clock
        self.prepare, self.is_next_prepared = prepare, False

    def run(self) -> AttemptResult:
        """Wait until the job has ended, or end it; then kill what is left of it."""
        try:
            why = self.wait_for_end()
        finally:
            code = self.monitor.job.end()
        lost = self.pool.end_job(self.hosts)
        monitor, output = self.monitor, self.monitor.job.read_rest()
        state = monitor.last_state()
        if state and state.state == RunStatus.STOPPED:
            reason = monitor.request or f"asked to stop: {state.reason}"
        else:
            reason = output.reason(code)
        return AttemptResult(
            code if why else output.exit_code(code),
            reason="; ".join([why or reason, *lost]),
            state=state,
            took_steps=monitor.took_steps,
            request=monitor.request,
            forced=bool(why or lost),
            suspect=output.suspect,
        )

    def wait_for_end(self) -> str | None:
        """None when horovodrun has ended by itself; why, if it must be ended."""
        monitor, next_look_s = self.monitor, self.clock.now_s() + LOOK_S
        while monitor.job.poll() is None:
            if why := monitor.check():
                return why
            if self.signals.received and monitor.state is None:
                return self.signals.received  # there is nothing to save yet
            if monitor.took_steps and not self.is_next_prepared:
                self.is_next_prepared = self.prepare()
            if self.signals.received:
                monitor.ask(self.signals.received, must_leave=True)
            elif self.wants_more_hosts and self.clock.now_s() >= next_look_s:
                if back := self.pool.find_returned(monitor.name, self.hosts):
                    self.say(f"{back} is back; the job saves, and starts again with it")
                    monitor.ask(f"{back} is back", must_leave=False)
                next_look_s = self.clock.now_s() + LOOK_S
            self.clock.sleep(POLL_S)
        return None

    @property
    def wants_more_hosts(self) -> bool:
        """Does the job run well, on too few ranks, and has it not been asked to stop?"""
        return ranks_of(self.hosts) < self.np and self.monitor.took_steps and not self.monitor.request
