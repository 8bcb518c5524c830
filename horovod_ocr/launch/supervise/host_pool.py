"""The hosts that can be used now: they answer, run nothing of the run, and have passed the quick check."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from horovod_ocr.errors import OcrError
from horovod_ocr.launch.hosts.hosts_file import Host, ranks_of
from horovod_ocr.launch.supervise.clock import Clock
from horovod_ocr.launch.supervise.cluster import Cluster, Problems

LOOK_S = 5.0  # between two looks for missing hosts
CLEAN_S = 1.0  # so long after the end of a job nothing of it comes back
MOST_LOSSES = 8  # a host that was lost n times must answer 2**n looks in a row before it is used again


def choose_hosts(hosts: Sequence[Host], usable: set[str], np: int) -> tuple[Host, ...]:
    """The first np slots of the usable hosts, in the order of hosts.txt; fewer if there are not as many."""
    chosen: list[Host] = []
    for host in hosts:
        slots = min(host.slots, np - ranks_of(chosen)) if host.name in usable else 0
        chosen += [replace(host, slots=slots)] if slots > 0 else []
    return tuple(chosen)


class HostPool:
    """What is known of the hosts of a run. say: called with news of them."""

    def __init__(
        self,
        hosts: tuple[Host, ...],
        cluster: Cluster,
        say: Callable[[str], None],
        clock: Clock | None = None,
    ) -> None:
        self.hosts, self.cluster, self.say, self.clock = hosts, cluster, say, clock or Clock()
        self.problems: Problems = {}  # the latest of each host
        self.passed: set[str] = set()  # hosts that passed the check and have answered ever since
        self.losses: dict[str, int] = {}  # how often a host was lost
        self.answers: dict[str, int] = {}  # looks in a row that a missing host has answered
        self.ask_again_s: dict[str, float] = {}  # when a host that did not answer may be asked again
        self.clean: set[str] = set()  # hosts that answered at the end of the last job, with nothing of the run left
        self.clean_until_s = 0.0  # they are not asked again before
        self.proven: set[str] = set()  # hosts of the last attempt that took steps
        self.left_out: set[str] = set()  # hosts that broke a start

    def choose(self, np: int, min_np: int) -> tuple[Host, ...]:
        """The hosts to start on. Hosts that broke a start are left out if the others have at least min_np slots."""
        trusted = tuple(host for host in self.hosts if host.name not in self.left_out)
        chosen = choose_hosts(trusted, self.find_usable(trusted), np)
        if ranks_of(chosen) < min_np and self.left_out:
            chosen = choose_hosts(self.hosts, self.find_usable(self.hosts), np)
        return chosen

    def find_usable(self, hosts: tuple[Host, ...], spared: str | None = None, used: tuple[Host, ...] = ()) -> set[str]:
        """Names of those hosts that can be used now. used: the other hosts of the job `spared`, which runs."""
        problems = self.kill_leftovers(hosts, spared)
        answering = tuple(host for host in hosts if not problems[host.name])
        if new := tuple(host for host in answering if host.name not in self.passed):
            try:
                found: Problems = self.cluster.check(new, (*used, *answering))
            except (OSError, OcrError) as error:
                found = dict.fromkeys((host.name for host in new), f"cannot be checked: {error}")
            self.note(found)
            self.passed |= {name for name, problem in found.items() if not problem}
        return {host.name for host in answering} & self.passed

    def kill_leftovers(self, hosts: tuple[Host, ...], spared: str | None = None) -> Problems:
        """Kill what is left of the run on hosts, except the job `spared`; the problems of the hosts.

        A host that did not answer a moment ago, or was clean at the end of a job, is not asked again: it takes seconds.
        """
        now_s = self.clock.now_s()
        clean = self.clean if now_s < self.clean_until_s else set()
        asked = tuple(
            host for host in hosts if now_s >= self.ask_again_s.get(host.name, 0.0) and host.name not in clean
        )
        found = self.cluster.kill_leftovers(asked, spared)
        silent: Problems = {name: problem for name, problem in found.items() if problem}
        self.ask_again_s |= dict.fromkeys(silent, self.clock.now_s() + LOOK_S)
        self.passed -= silent.keys()
        self.note(silent)
        known = {**self.problems, **dict.fromkeys(clean), **found}
        return {host.name: known.get(host.name) for host in hosts}

    def end_all(self) -> None:
        """Kill what is left of the run, also on hosts that did not answer a moment ago."""
        self.ask_again_s, self.clean = {}, set()
        self.kill_leftovers(self.hosts)

    def note(self, problems: Problems) -> None:
        """Say which problems are new. The part in brackets may differ from time to time, and is not compared."""
        for name, problem in problems.items():
            if problem and problem.partition(" (")[0] != (self.problems.get(name) or "").partition(" (")[0]:
                self.say(f"{name} {problem}")
        self.problems |= problems

    def end_job(self, used: tuple[Host, ...]) -> list[str]:
        """Kill what is left of a job that has ended. Those of its hosts that do not answer, with their problems."""
        self.answers, self.clean = {}, set()
        problems = self.kill_leftovers(self.hosts)
        self.clean = {name for name, problem in problems.items() if not problem}
        self.clean_until_s = self.clock.now_s() + CLEAN_S
        lost = [host.name for host in used if problems[host.name]]
        for name in lost:
            self.losses[name] = self.losses.get(name, 0) + 1
        return [f"{name} {problems[name]}" for name in lost]

    def note_steps(self, used: tuple[Host, ...]) -> None:
        """An attempt on these hosts took steps."""
        self.proven = {host.name for host in used}
        self.left_out -= self.proven

    def blame(self, used: tuple[Host, ...], suspect: str | None) -> list[str]:
        """After a start without a step, leave out the hosts that broke it; their names.

        These are the hosts that the run did without before, or else the suspect; but never all hosts, and none if a
        host is gone, which explains the end.
        """
        names = {host.name for host in used}
        if not names <= self.passed:
            return []
        broke = (names - self.proven if self.proven else set()) or names & {suspect}
        broke -= names if broke == names else self.left_out  # these were used because the others are too few
        for name in broke:
            self.losses[name] = self.losses.get(name, 0) + 1
        self.left_out |= broke
        self.passed -= broke  # they are checked again before they are used again
        return sorted(broke)

    def find_returned(self, job: str, used: tuple[Host, ...]) -> str | None:
        """A host that the running job lacks, has answered for long enough and can train; None without one."""
        names = {host.name for host in used}
        missing = tuple(host for host in self.hosts if host.name not in names)
        problems = self.kill_leftovers(missing, job)
        for host in missing:
            self.answers[host.name] = 0 if problems[host.name] else self.answers.get(host.name, 0) + 1
            if self.answers[host.name] >= 2 ** max(1, min(self.losses.get(host.name, 0), MOST_LOSSES)):
                self.answers[host.name] = 0  # if it cannot train, it is checked again after as many answers
                if self.find_usable((host,), job, used):
                    self.left_out.discard(host.name)
                    return host.name
        return None
