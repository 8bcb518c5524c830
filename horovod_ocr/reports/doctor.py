"""The report of doctor: a table of facts with a column for each host, and below it what to repair on which host."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from horovod_ocr.launch.hosts.report import Cell, CellState, DoctorReport

MARKS: dict[CellState, tuple[str, str]] = {
    CellState.FAILS: ("✗ ", "red"),
    CellState.WARNS: ("! ", "yellow"),
    CellState.OK: ("", ""),
    CellState.UNKNOWN: ("?", "dim"),
}
FACT_WIDTH, HOST_WIDTH = 12, 21  # columns of the terminal, with the space between them


def draw_doctor(report: DoctorReport, width: int) -> Group:
    """width: columns of the terminal. Hosts that do not fit beside each other are in a further table below."""
    fitting = max(1, (width - FACT_WIDTH) // HOST_WIDTH)
    positions = range(len(report.hosts))
    tables = [draw_hosts(report, positions[start : start + fitting]) for start in positions[::fitting]]
    return Group(*tables, *draw_remarks(report))


def draw_hosts(report: DoctorReport, positions: Sequence[int]) -> RenderableType:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("")
    for position in positions:
        # Text: rich would take [brackets] for its markup
        table.add_column(Text(report.hosts[position]), overflow="fold", max_width=HOST_WIDTH * 2)
    for row in report.rows:
        table.add_row(Text(row.fact), *(cell_text(row.cells[position]) for position in positions))
    return Group(table, Text(""))


def cell_text(cell: Cell) -> Text:
    mark, style = MARKS[cell.state]
    return Text(mark + cell.text, style=style)


def draw_remarks(report: DoctorReport) -> Iterator[Text]:
    """What fails and then what warns, by host. A remark that is the same on all of several hosts is drawn once."""
    by_host = {host: remarks_of(report, host) for host in report.hosts}
    first, *others = by_host.values()
    shared = [remark for remark in first if all(remark in other for other in others)] if others else []
    yield from draw_block("all hosts", shared)
    for host, remarks in by_host.items():
        yield from draw_block(host, [remark for remark in remarks if remark not in shared])
    if report.can_start:
        on = report.hosts[0] if len(report.hosts) == 1 else f"all {len(report.hosts)} hosts"
        yield Text(f"training can start on {on}")


def remarks_of(report: DoctorReport, host: str) -> list[tuple[str, CellState]]:
    return [(remark, state) for state in (CellState.FAILS, CellState.WARNS) for remark in report.remarks(host, state)]


def draw_block(heading: str, remarks: Sequence[tuple[str, CellState]]) -> Iterator[Text]:
    if remarks:
        yield Text(heading, style="bold")
        for remark, state in remarks:
            mark, style = MARKS[state]
            yield Text.assemble(("  " + mark, style), remark)
