"""What hosts answered, and what is said of it: a table of facts by hosts."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

State = Literal["ok", "warns", "fails", "unknown"]


@dataclass(frozen=True)
class Probe:
    """What one host answered. error: why it did not, and how to mend that. clock_off_s: how far its clock is ahead of
    this machine's, 0 where both may show the same time. started_by: "ssh", or "" for this machine."""

    host: str
    slots: int = 1
    facts: dict[str, dict] = field(default_factory=dict)
    error: str = ""
    clock_off_s: float = 0.0
    started_by: str = "ssh"

    def get(self, fact: str, key: str):
        return self.facts.get(fact, {}).get(key)


def gpus_of(probe: Probe) -> int:
    """That torch can compute on; that the driver lists, if torch was not asked."""
    seen = probe.get("build", "gpus")
    return len(probe.get("gpus", "names") or ()) if seen is None else seen


@dataclass(frozen=True)
class Cell:
    """text: a few letters. remark: what is wrong and how to mend it, a sentence; "" where nothing is."""

    text: str
    state: State = "ok"
    remark: str = ""


@dataclass(frozen=True)
class Row:
    """One fact of all hosts, in their order."""

    fact: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class DoctorReport:
    """The table of facts x hosts. A host with a cell that fails cannot train; training with it could not start."""

    hosts: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def fit_hosts(self) -> tuple[str, ...]:
        """The hosts where nothing fails."""
        columns = zip(self.hosts, *(row.cells for row in self.rows), strict=True)
        return tuple(host for host, *cells in columns if all(cell.state != "fails" for cell in cells))

    @property
    def can_start(self) -> bool:
        return self.fit_hosts == self.hosts

    def remarks(self, host: str, state: State) -> list[str]:
        """`fact: sentence` of what fails, or warns, on a host."""
        position = self.hosts.index(host)
        cells = [(row.fact, row.cells[position]) for row in self.rows]
        return [f"{fact}: {cell.remark}" for fact, cell in cells if cell.state == state and cell.remark]

    def with_rows(self, *rows: Row) -> "DoctorReport":
        return replace(self, rows=(*self.rows, *rows))


@dataclass(frozen=True)
class Peers:
    """The hosts that answered, and the interfaces of the machine that asks (name -> addresses). interfaces_given:
    ranks are told which to use. workers, device: as in TrainConfig."""

    probes: tuple[Probe, ...]
    own_interfaces: dict[str, list[str]]
    interfaces_given: bool = False
    workers: int = -1
    device: str = "auto"

    def usual(self, fact: str, key: str):
        """The most frequent value; of several, the one of the first host. None where no host has one."""
        values = [value for probe in self.probes if (value := probe.get(fact, key)) is not None]
        return Counter(values).most_common(1)[0][0] if values else None

    def with_value(self, fact: str, key: str, value) -> str:
        return ", ".join(probe.host for probe in self.probes if probe.get(fact, key) == value)

    @property
    def have_gpus(self) -> bool:
        return any(gpus_of(probe) for probe in self.probes)

    @property
    def train_on_gpus(self) -> bool:
        """Is there a GPU for each rank, and the CPU not asked for?"""
        return self.device != "cpu" and all(gpus_of(probe) >= probe.slots for probe in self.probes)

    @property
    def train_in_one_process(self) -> bool:
        return sum(probe.slots for probe in self.probes) == 1
