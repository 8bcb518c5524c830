"""The table of doctor fits the terminal, and what is wrong is listed below it, by host."""

import io

import pytest
from rich.console import Console

from horovod_ocr.launch.hosts.report import Cell, DoctorReport, Row
from horovod_ocr.reports.doctor import draw_doctor


def drawn(report: DoctorReport, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, soft_wrap=True)
    console.print(draw_doctor(report, width))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def report_of(*columns: tuple[Cell, ...]) -> DoctorReport:
    facts = ("python", "GPU, driver")
    rows = zip(facts, zip(*columns, strict=True), strict=True)
    return DoctorReport(tuple(f"node{n}" for n in range(1, len(columns) + 1)), tuple(Row(*row) for row in rows))


GOOD = (Cell("3.11.7"), Cell("8 NVIDIA H100 80GB HBM3, 550.54.15"))
OLD = (Cell("3.10.1", "fails", "3.10.1 here, 3.11.7 on node1"), Cell("none", "warns", "no [driver]"))
SILENT = (Cell("no answer", "fails", "it is off"), Cell("", "unknown"))


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("hosts", [1, 3, 17])
def test_the_table_fits(width, hosts):
    lines = drawn(report_of(*[GOOD] * hosts), width)
    assert max(map(len, lines)) <= width
    head = " ".join(line for line in lines if "node" in line)
    assert all(head.count(f"node{n} ") or f"node{n}" in head.split() for n in range(1, hosts + 1))
    assert "3.11.7" in "".join(lines) and "H100" in "".join(lines)


def test_what_is_wrong_is_listed_below_by_host():
    lines = drawn(report_of(GOOD, OLD, SILENT), 80)
    assert lines[lines.index("node2") :] == [
        "node2",
        "  ✗ python: 3.10.1 here, 3.11.7 on node1",
        "  ! GPU, driver: no [driver]",
        "node3",
        "  ✗ python: it is off",
    ]
    row = next(line for line in lines if line.startswith("python"))
    assert "✗ 3.10.1" in row and "✗ no answer" in row


def test_what_is_wrong_on_all_hosts_is_listed_once():
    lines = drawn(report_of(SILENT, SILENT), 80)
    assert lines[-2:] == ["all hosts", "  ✗ python: it is off"]


def test_it_says_where_training_can_start():
    assert drawn(report_of(GOOD), 80)[-1] == "training can start on node1"
    assert drawn(report_of(GOOD, GOOD), 80)[-1] == "training can start on all 2 hosts"
