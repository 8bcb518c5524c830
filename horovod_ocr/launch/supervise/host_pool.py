"""Which hosts can be used now: they answer, are clear of the run's processes, and have passed the quick check."""

import time
from collections.abc import Callable
from dataclasses import replace

from horovod_ocr.errors import OcrError
from horovod_ocr.launch.hosts.hosts_file import Host, ranks_of

LOOK_S = 5.0  # between looks for hosts that are missing
MOST_LOSSES = 8  # a host that was lost n times must answer 2**n looks in a row before it is taken in again


def choose_hosts(hosts: tuple[Host, ...], usable: set[str], np: int) -> tuple[Host, ...]:
    """The first np slots of the usable hosts, in the order of hosts.txt; fewer where there are not as many."""
    chosen: list[Host] = []
    for host in hosts:
        slots = min(host.slots, np - ranks_of(chosen)) if host.name in usable else 0
        chosen += [replace(host, slots=slots)] if slots > 0 else []
    return tuple(chosen)


class HostPool:
    """What is known of the hosts. `problems`: each host's latest, "" for none.

    clear(hosts, job to spare) ends what is left of the run on hosts, and check(new hosts, all in use) says whether
    they can train: both give a problem for each host. say: told what is new.
    """

    def __init__(
        self,
        hosts: tuple[Host, ...],
        clear: Callable[[tuple[Host, ...], str], dict[str, str]],
        check: Callable[[tuple[Host, ...], tuple[Host, ...]], dict[str, str]],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self.hosts, self.clear, self.check, self.say, self.clock = hosts, clear, check, say, clock
        self.problems: dict[str, str] = {}
        self.passed: set[str] = set()  # hosts that passed the check and have answered since
        self.losses: dict[str, int] = {}  # how often a host was lost
        self.answers: dict[str, int] = {}  # looks in a row that a missing host has answered
        self.ask_again_s: dict[str, float] = {}  # when a host that did not answer may be asked again
        self.proven: set[str] = set()  # hosts of the last attempt that took steps
        self.left_out: set[str] = set()  # hosts that broke a start

    def choose(self, np: int, min_np: int) -> tuple[Host, ...]:
        """The hosts to start on: without those that broke a start, while the others give min_np ranks."""
        trusted = tuple(host for host in self.hosts if host.name not in self.left_out)
        chosen = choose_hosts(trusted, self.usable(trusted), np)
        if ranks_of(chosen) < min_np and self.left_out:
            chosen = choose_hosts(self.hosts, self.usable(self.hosts), np)
        return chosen

    def usable(self, hosts: tuple[Host, ...], spared: str = "", used: tuple[Host, ...] = ()) -> set[str]:
        """Names of those hosts that can be used; `used`: the others of the job."""
        problems = self.sweep(hosts, spared)
        answering = tuple(host for host in hosts if not problems[host.name])
        if new := tuple(host for host in answering if host.name not in self.passed):
            try:
                found = self.check(new, (*used, *answering))
            except (OSError, OcrError) as error:
                found = dict.fromkeys((host.name for host in new), f"cannot be checked: {error}")
            self.note(found)
            self.passed |= {name for name, problem in found.items() if not problem}
        return {host.name for host in answering} & self.passed

    def sweep(self, hosts: tuple[Host, ...], spared: str = "") -> dict[str, str]:
        """`clear`; but a host that did not answer a moment ago is not asked again, which would cost seconds."""
        asked = tuple(host for host in hosts if self.clock() >= self.ask_again_s.get(host.name, 0.0))
        found = self.clear(asked, spared)
        silent = {name: problem for name, problem in found.items() if problem}
        self.ask_again_s |= dict.fromkeys(silent, self.clock() + LOOK_S)
        self.passed -= silent.keys()
        self.note(silent)
        return {host.name: found.get(host.name, self.problems.get(host.name, "")) for host in hosts}

    def end_all(self) -> None:
        """End what is left of the run, also on hosts that did not answer a moment ago."""
        self.ask_again_s = {}
        self.sweep(self.hosts)

    def note(self, problems: dict[str, str]) -> None:
        """Say what is new; what stands in brackets may differ from time to time."""
        for name, problem in problems.items():
            if problem and problem.partition(" (")[0] != self.problems.get(name, "").partition(" (")[0]:
                self.say(f"{name} {problem}")
        self.problems |= problems

    def after_end(self, used: tuple[Host, ...]) -> list[str]:
        """End what is left of a job, on all hosts; those it ran on that do not answer any more, with their problems."""
        self.answers = {}
        problems = self.sweep(self.hosts)
        lost = [host.name for host in used if problems[host.name]]
        for name in lost:
            self.losses[name] = self.losses.get(name, 0) + 1
        return [f"{name} {problems[name]}" for name in lost]

    def note_steps(self, used: tuple[Host, ...]) -> None:
        """An attempt on these hosts took steps."""
        self.proven = {host.name for host in used}
        self.left_out -= self.proven

    def blame(self, used: tuple[Host, ...], suspect: str) -> list[str]:
        """After a start without a step: leave out the hosts that broke it, whose names are returned. Those that the run
        went without before; else the suspect, "" for none. Never all of them; and none where a host is gone."""
        names = {host.name for host in used}
        if not names <= self.passed:
            return []
        broke = (names - self.proven if self.proven else set()) or names & {suspect}
        broke -= names if broke == names else self.left_out  # those are here because the others are too few
        for name in broke:
            self.losses[name] = self.losses.get(name, 0) + 1
        self.left_out |= broke
        self.passed -= broke  # checked again when they are taken in
        return sorted(broke)

    def look_for_returned(self, job: str, used: tuple[Host, ...]) -> str:
        """A host that the running job lacks, which has answered for long enough and can train; "" for none."""
        names = {host.name for host in used}
        missing = tuple(host for host in self.hosts if host.name not in names)
        problems = self.sweep(missing, job)
        for host in missing:
            self.answers[host.name] = 0 if problems[host.name] else self.answers.get(host.name, 0) + 1
            if self.answers[host.name] >= 2 ** max(1, min(self.losses.get(host.name, 0), MOST_LOSSES)):
                self.answers[host.name] = 0  # one that cannot train is checked again after as many answers
                if self.usable((host,), job, used):
                    self.left_out.discard(host.name)
                    return host.name
        return ""
