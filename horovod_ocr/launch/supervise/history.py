"""What came of the attempts of a launch, and what follows from it. Pure: no processes, no files."""

from enum import Enum
from typing import NamedTuple

from horovod_ocr.errors import ConfigError, DataError, DivergedError
from horovod_ocr.run.state import RunState, RunStatus

LONGEST_PAUSE_S = 60.0
DATA_TRIES = 5  # storage may come back later than its host


class Outcome(Enum):
    """What follows from an attempt."""

    FINISHED = "the run has taken all its steps"
    STOPPED = "it was asked to stop, and has saved"
    FAILED = "it failed, and would fail the same way again"
    AGAIN = "it is to be started again"


class AttemptResult(NamedTuple):
    """How an attempt ended."""

    code: int
    """The exit code that tells why it ended: of horovodrun, or of the rank that ended first by itself."""
    reason: str
    """Why it ended, a sentence."""
    state: RunState | None
    """The last state that the job wrote, if any."""
    took_steps: bool
    """Did it get further than the checkpoint that it began from?"""
    request: str | None = None
    """What this supervisor had asked of it, if anything."""
    forced: bool = False
    """This supervisor ended it, or a host of it is gone. Both send SIGTERM to ranks: nobody asked the run to stop."""
    suspect: str | None = None
    """The host that seems to have ended it, if any."""

    @property
    def outcome(self) -> Outcome:
        """Judged by the last state alone. It counts more than exit codes: everything is saved when it is written."""
        if self.state and self.state.state == RunStatus.FINISHED:
            return Outcome.FINISHED
        if self.state and self.state.state == RunStatus.STOPPED and not self.forced:
            return Outcome.STOPPED
        return Outcome.AGAIN

    @property
    def is_unsaved(self) -> bool:
        """Did the run begin, and end without a save?"""
        return self.state is not None and self.state.state not in (RunStatus.FINISHED, RunStatus.STOPPED)


class AttemptHistory:
    """Counts over the attempts of this launch."""

    def __init__(self, step: int | None = None) -> None:
        self.step = step  # of the newest checkpoint, None before the first
        self.has_stepped = False  # has any attempt taken a step?
        self.idle_in_a_row = 0  # the latest attempts that took no step
        self.failures = 0
        self.failures_in_a_row = 0  # the latest ones, without a newer checkpoint between them
        self.broken_by_hosts = 0  # the latest failures, for which hosts were left out

    def add(self, result: AttemptResult, step: int | None) -> None:
        """Count an attempt. step: of the newest checkpoint after it."""
        self.has_stepped |= result.took_steps
        self.idle_in_a_row = 0 if result.took_steps else self.idle_in_a_row + 1
        if result.took_steps:  # the run goes on without those hosts, so that their failures count no more
            self.failures, self.broken_by_hosts = self.failures - self.broken_by_hosts, 0
        if step != self.step:
            self.step, self.failures_in_a_row = step, 0
        if result.outcome == Outcome.AGAIN:
            self.failures, self.failures_in_a_row = self.failures + 1, self.failures_in_a_row + 1


def decide_next(result: AttemptResult, history: AttemptHistory) -> Outcome:
    """What follows from an attempt that the history already counts."""
    if result.outcome != Outcome.AGAIN:
        return result.outcome
    if result.code in (ConfigError.exit_code, DivergedError.exit_code):
        return Outcome.FAILED
    # bad data or checkpoint: final at the begin of a run; later it may be storage that a host has not mounted yet
    may_come_back = result.took_steps or (history.has_stepped and history.idle_in_a_row < DATA_TRIES)
    if result.code == DataError.exit_code and not may_come_back:
        return Outcome.FAILED
    return Outcome.AGAIN


def pause_after(failures: int) -> float:
    """Seconds before the next start. failures: in a row, without a newer checkpoint between them, at least 1.

    The first is followed by a start at once.
    """
    return min(2.0 ** (failures - 2), LONGEST_PAUSE_S) if failures > 1 else 0.0
