"""The answers of the hosts, and doctor's report on them: a table of facts by hosts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class CellState(StrEnum):
    """What a cell of the report says of its host."""

    OK = "ok"
    WARNS = "warns"
    """Training can start, but something is not as it should be."""
    FAILS = "fails"
    """Training with this host could not start."""
    UNKNOWN = "unknown"
    """The host did not answer, or was not asked."""


@dataclass(frozen=True)
class Probe:
    """The answers of one host."""

    host: str
    """Its name, as in hosts.txt."""
    slots: int = 1
    """As in `Host`."""
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fact -> its values by key, as the host's `probe` printed them."""
    error: str | None = None
    """Why the host did not answer, and how to repair that."""
    clock_off_s: float = 0.0
    """How far its clock is ahead of this machine's; 0 if both may show the same time."""
    is_this_machine: bool = False
    """Was it asked without ssh?"""

    def get(self, fact: str, key: str) -> Any:
        """None if the host did not answer this."""
        return self.facts.get(fact, {}).get(key)


def gpus_of(probe: Probe) -> int:
    """The number of GPUs that torch can compute on; if torch was not asked, of those that the driver lists."""
    seen: int | None = probe.get("build", "gpus")
    return len(probe.get("gpus", "names") or ()) if seen is None else seen


@dataclass(frozen=True)
class Cell:
    """One fact of one host."""

    text: str
    """A few characters for the table."""
    state: CellState = CellState.OK
    """OK unless something is wrong, or the host did not answer."""
    remark: str = ""
    """A sentence: what is wrong and how to repair it; empty if nothing is."""


UNKNOWN = Cell("", CellState.UNKNOWN)


def warns(text: str, remark: str) -> Cell:
    return Cell(text, CellState.WARNS, remark)


def fails(text: str, remark: str) -> Cell:
    return Cell(text, CellState.FAILS, remark)


@dataclass(frozen=True)
class Row:
    """One fact of all hosts, in their order."""

    fact: str
    """Its name for people."""
    cells: tuple[Cell, ...]
    """One for each host."""


@dataclass(frozen=True)
class DoctorReport:
    """The table of facts by hosts. Training can start on the hosts that have no cell that fails."""

    hosts: tuple[str, ...]
    """Their names, those that did not answer too."""
    rows: tuple[Row, ...]
    """Each has a cell for each of `hosts`."""

    @property
    def fit_hosts(self) -> tuple[str, ...]:
        """The hosts on which nothing fails."""
        columns = zip(self.hosts, *(row.cells for row in self.rows), strict=True)
        return tuple(host for host, *cells in columns if all(cell.state != CellState.FAILS for cell in cells))

    @property
    def can_start(self) -> bool:
        return self.fit_hosts == self.hosts

    def remarks(self, host: str, state: CellState) -> list[str]:
        """`fact: sentence` of each cell of a host that is in this state."""
        position = self.hosts.index(host)
        cells = [(row.fact, row.cells[position]) for row in self.rows]
        return [f"{fact}: {cell.remark}" for fact, cell in cells if cell.state == state and cell.remark]

    def with_rows(self, *rows: Row) -> "DoctorReport":
        return replace(self, rows=(*self.rows, *rows))


@dataclass(frozen=True)
class Peers:
    """The hosts that answered: what each of them is compared with."""

    probes: tuple[Probe, ...]
    """In the order of the hosts."""
    own_interfaces: dict[str, list[str]]
    """The network interfaces of the machine that asks: name -> addresses."""
    interfaces_given: bool = False
    """Are the ranks told which interfaces to use?"""
    workers: int = -1
    """As in DataConfig."""
    device: str = "auto"
    """As in RanksConfig."""

    def usual(self, fact: str, key: str) -> Any:
        """The most frequent value; if there are several, the one of the first host. None if no host has a value."""
        values = [value for probe in self.probes if (value := probe.get(fact, key)) is not None]
        return Counter(values).most_common(1)[0][0] if values else None

    def with_value(self, fact: str, key: str, value: object) -> str:
        """The names of the hosts that have this value."""
        return ", ".join(probe.host for probe in self.probes if probe.get(fact, key) == value)

    @property
    def have_gpus(self) -> bool:
        return any(gpus_of(probe) for probe in self.probes)

    @property
    def train_on_gpus(self) -> bool:
        """Is there a GPU for each rank, unless --device cpu was given?"""
        return self.device != "cpu" and all(gpus_of(probe) >= probe.slots for probe in self.probes)

    @property
    def train_in_one_process(self) -> bool:
        return sum(probe.slots for probe in self.probes) == 1
