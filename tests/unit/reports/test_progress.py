"""Speeds are those of the last ten seconds; lines are rare, but the last record of a stage always has one."""

import io
import json

import pytest
from rich.console import Console

from horovod_ocr.reports import progress
from horovod_ocr.reports.progress import LineDisplay, Meter, TerminalDisplay, progress_bar, shard_progress
from sharding.progress import Progress


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return FakeClock()


def test_speeds_are_those_of_the_last_ten_seconds(clock):
    meter = Meter(Progress("reading", 0, 10_000), clock)
    for second in range(1, 41):  # 100 a second for 20 s, then 10 a second
        clock.now_s += 1
        done = 100 * min(second, 20) + 10 * max(second - 20, 0)
        meter.add(Progress("reading", done, 10_000, done * 2_000_000))
    assert meter.images_per_s == pytest.approx(10) and meter.mb_per_s == pytest.approx(20)
    assert meter.eta_s == pytest.approx((10_000 - 2_200) / 10) and meter.elapsed_s == 40
    assert len(meter.marks) < 30


def test_what_was_done_before_the_first_record_does_not_count_as_speed(clock):
    meter = Meter(Progress("writing", 900, 1000), clock)
    assert meter.eta_s is None
    clock.now_s += 2
    meter.add(Progress("writing", 920, 1000))
    assert meter.images_per_s == pytest.approx(10) and meter.eta_s == pytest.approx(8)


def test_after_a_long_gap_the_speed_is_that_of_the_gap(clock):
    meter = Meter(Progress("reading", 0, 0), clock)
    clock.now_s += 60
    meter.add(Progress("reading", 600, 0))
    assert meter.images_per_s == pytest.approx(10) and meter.eta_s is None


def test_there_is_a_json_line_each_second_and_for_the_last_record_of_a_stage(clock, capsys):
    with shard_progress(json_lines=True, clock=clock) as report:
        for tenth in range(26):
            report(Progress("reading", tenth, 25, tenth * 1000, {"empty label": tenth} if tenth else {}))
            clock.now_s += 0.1
        for tenth in range(3):
            report(Progress("writing", tenth, 2))
            clock.now_s += 0.1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["done"] for line in lines if line["stage"] == "reading"] == [0, 10, 20, 25]
    assert [line["done"] for line in lines if line["stage"] == "writing"] == [0, 2]
    assert lines[1] == {
        "event": "progress",
        "stage": "reading",
        "done": 10,
        "total": 25,
        "images_per_s": 10.0,
        "mb_per_s": 0.01,
        "eta_s": 1.5,
        "rejects": {"empty label": 10},
    }


def test_the_last_record_is_written_when_the_work_fails(clock, capsys):
    with pytest.raises(ZeroDivisionError), shard_progress(json_lines=True, clock=clock) as report:
        report(Progress("reading", 1, 9))
        report(Progress("reading", 2, 9))
        raise ZeroDivisionError
    assert [json.loads(line)["done"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


def test_a_pipe_gets_a_line_each_ten_seconds(clock, capsys):
    rejects = {"empty file": 7, "too wide": 2, "not an image": 1200, "no label": 1}
    with shard_progress(clock=clock) as report:
        for second in range(0, 26):
            report(Progress("reading", 100 * second, 10_000, 200_000 * second, rejects if second else {}))
            clock.now_s += 1
        report(Progress("verifying", 1, 2))
        report(Progress("verifying", 2, 2))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        f"reading: {done} of 10,000, 100 images/s, 0.2 MB/s, {times}; "
        "rejected 1,210: not an image 1,200, empty file 7, too wide 2, other 1"
        for done, times in (("1,000", "0:10, ETA 1:30"), ("2,000", "0:20, ETA 1:20"), ("2,500", "0:26, ETA 1:15"))
    ]


def test_short_work_prints_nothing_to_a_pipe(clock, capsys):
    with progress_bar("drawing") as report:
        report(1, 2)
        report(2, 2, "packing")
    assert capsys.readouterr().err == ""


def test_a_display_that_is_not_shown_prints_nothing(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    with progress_bar("reading", shown=False) as report:
        report(1, 2)
    assert capsys.readouterr().err == ""


def test_the_terminal_shows_every_stage(clock):
    display = TerminalDisplay(clock)
    display(Progress("listing", 5000, 0))
    clock.now_s += 3
    display(Progress("listing", 8000, 0))
    display(Progress("reading", 0, 8000))
    clock.now_s += 4
    display(Progress("reading", 2000, 8000, 6_000_000, {"too wide": 3}))
    clock.now_s += 60  # the times of a stage that has ended no longer change
    drawn = drawing_of(display)
    assert "listing" in drawn and "  1,000 images/s, 0:03\n" in drawn
    assert "2,000 of 8,000" in drawn and "  500 images/s, 1.5 MB/s, 1:04, ETA 0:12\n" in drawn
    assert "  rejected 3: too wide 3\n" in drawn
    assert all(len(line) <= 60 for line in drawn.splitlines())


def test_an_empty_display_can_be_drawn(clock):
    display = TerminalDisplay(clock)
    display.finish()
    assert drawing_of(display).strip() == ""


def drawing_of(display: TerminalDisplay) -> str:
    console = Console(file=io.StringIO(), width=60)
    console.print(display.draw())
    return "".join(line.rstrip() + "\n" for line in console.file.getvalue().splitlines())


def test_lines_that_are_not_due_are_not_repeated_at_the_end(clock):
    written = []
    display = LineDisplay(lambda meter: written.append(meter.record.done), 1.0, opens=True, clock=clock)
    display(Progress("reading", 3, 3))
    display.finish()
    display.finish()
    assert written == [3]
