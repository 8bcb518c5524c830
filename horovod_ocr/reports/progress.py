"""Progress of a long command: a display on a terminal, a line every ten seconds in a file or pipe, or JSON lines."""

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from horovod_ocr.console import console, span
from sharding.counts import by_count
from sharding.progress import Progress, Report

SPEED_OVER_S = 10.0  # speeds are those of the last ten seconds
PLAIN_EVERY_S = 10.0
JSON_EVERY_S = 1.0
MARK_EVERY_S = 0.5
SHOWN_REASONS = 3
BAR_CELLS = 24
Clock = Callable[[], float]


class Meter:
    """The speeds and times of one stage, from its records.

    Speeds are counted from the first record on: it may hold what an earlier process has done.
    """

    def __init__(self, record: Progress, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.record = record
        self.start_s = clock()
        self.marks = deque([(self.start_s, record.done, record.read_bytes)])
        self.images_per_s = self.mb_per_s = 0.0

    def add(self, record: Progress) -> None:
        self.record, now = record, self.clock()
        while len(self.marks) > 1 and self.marks[1][0] <= now - SPEED_OVER_S:
            self.marks.popleft()
        since, done, read_bytes = self.marks[0]
        if now > since:
            self.images_per_s = (record.done - done) / (now - since)
            self.mb_per_s = (record.read_bytes - read_bytes) / (now - since) / 1e6
        if now - self.marks[-1][0] >= MARK_EVERY_S:
            self.marks.append((now, record.done, record.read_bytes))

    @property
    def elapsed_s(self) -> float:
        return self.clock() - self.start_s

    @property
    def eta_s(self) -> float | None:
        """Time left; None while the total or the speed is not known."""
        left = self.record.total - self.record.done
        if not self.record.total or (left > 0 and self.images_per_s <= 0):
            return None
        return left / self.images_per_s if left > 0 else 0.0


class LineDisplay:
    """Writes records as lines, at most one every `every_s`. If a stage has a line, its last record has one, too.

    opens: whether the first record of a stage has a line.
    """

    def __init__(
        self, write: Callable[[Meter], None], every_s: float, opens: bool, clock: Clock = time.monotonic
    ) -> None:
        self.write, self.every_s, self.opens, self.clock = write, every_s, opens, clock
        self.meter: Meter | None = None
        self.last_s = 0.0  # of the last line, or of the start of the stage
        self.has_lines = False  # of this stage
        self.is_behind = False  # is the last record without a line?

    def __call__(self, record: Progress) -> None:
        if self.meter is None or self.meter.record.stage != record.stage:
            self.finish()
            self.meter, self.last_s = Meter(record, self.clock), self.clock()
            self.has_lines, self.is_behind = False, True
            if self.opens:
                self._write_line(self.meter)
            return
        self.meter.add(record)
        self.is_behind = True
        if self.clock() - self.last_s >= self.every_s:
            self._write_line(self.meter)

    def finish(self) -> None:
        """Write the last record of the stage, if it has no line but others have."""
        if self.meter and self.has_lines and self.is_behind:
            self._write_line(self.meter)

    def _write_line(self, meter: Meter) -> None:
        self.write(meter)
        self.last_s, self.has_lines, self.is_behind = self.clock(), True, False


class TerminalDisplay:
    """Every stage so far: a bar, and below it speeds, times and rejects."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.meters: dict[str, Meter] = {}
        self.running: str | None = None
        self.texts: dict[str, list[Text]] = {}  # of the stages that have ended: their times no longer change

    def __call__(self, record: Progress) -> None:
        if record.stage != self.running:
            self.finish()
            self.running = record.stage
            self.texts.pop(record.stage, None)
            self.meters[record.stage] = Meter(record, self.clock)
        else:
            self.meters[record.stage].add(record)

    def finish(self) -> None:
        """End the stage that is running."""
        if self.running is not None:
            self.texts[self.running] = texts_of(self.meters[self.running])
            self.running = None

    def draw(self) -> Group:
        """All stages, for a terminal."""
        parts: list[Table | Text] = []
        meters = list(self.meters.items())  # a copy: rich draws in a thread of its own
        longest = max((len(stage) for stage, _ in meters), default=0)
        for stage, meter in meters:
            done, total = meter.record.done, meter.record.total
            if stage != self.running and not total:
                total = done = 1
            bar = ProgressBar(total or None, done, width=BAR_CELLS)  # without a total it moves to and fro
            first, *rest = self.texts.get(stage) or texts_of(meter)
            row = Table.grid(padding=(0, 1))
            row.add_row(Text(stage.ljust(longest)), bar, first)
            parts += [row, *rest]
        return Group(*parts)


def texts_of(meter: Meter) -> list[Text]:
    """What is beside the bar of a stage, then the lines below it."""
    lines = [done_text(meter.record), "  " + ", ".join(numbers_of(meter))]
    if meter.record.rejects:
        lines.append(f"  rejected {rejects_of(meter.record.rejects)}")
    return [Text(line) for line in lines]


def done_text(record: Progress) -> str:
    return f"{record.done:,} of {record.total:,}" if record.total else f"{record.done:,}"


def numbers_of(meter: Meter) -> list[str]:
    """Speeds, the time since the stage began, and the time left, if they are known."""
    parts = [] if meter.record.stage == "repairing" else [f"{meter.images_per_s:,.0f} images/s"]  # it counts shards
    if meter.record.read_bytes:
        parts.append(f"{meter.mb_per_s:,.1f} MB/s")
    parts.append(span(meter.elapsed_s))
    if meter.eta_s:
        parts.append(f"ETA {span(meter.eta_s)}")
    return parts


def rejects_of(rejects: Mapping[str, int]) -> str:
    """How many, and the most frequent reasons: `1,210: not an image 1,200, empty file 7, too wide 2, other 1`."""
    reasons = list(by_count(rejects).items())
    parts = [f"{reason} {count:,}" for reason, count in reasons[:SHOWN_REASONS]]
    if other := sum(count for _, count in reasons[SHOWN_REASONS:]):
        parts.append(f"other {other:,}")
    return f"{sum(rejects.values()):,}: {', '.join(parts)}"


def print_plain(meter: Meter) -> None:
    parts = [done_text(meter.record), *numbers_of(meter)]
    rejects = f"; rejected {rejects_of(meter.record.rejects)}" if meter.record.rejects else ""
    print(f"{meter.record.stage}: {', '.join(parts)}{rejects}", file=sys.stderr, flush=True)


def print_json(meter: Meter) -> None:
    record = meter.record
    values = {
        "event": "progress",
        "stage": record.stage,
        "done": record.done,
        "total": record.total,
        "images_per_s": round(meter.images_per_s, 1),
        "mb_per_s": round(meter.mb_per_s, 2),
        "eta_s": None if meter.eta_s is None else round(meter.eta_s, 1),
        "rejects": dict(record.rejects),
    }
    print(json.dumps(values, ensure_ascii=False), flush=True)


@contextmanager
def shard_progress(json_lines: bool = False, clock: Clock = time.monotonic) -> Iterator[Report]:
    """Yields a callback that shows records on standard error or, with json_lines, as lines on standard output.

    A line of JSON is {"event": "progress", "stage", "done", "total" (0: not known yet), "images_per_s", "mb_per_s",
    "eta_s" (null: not known yet), "rejects" (reason -> samples)}. There is one for the first and for the last record of
    a stage, and at most one a second between them.
    """
    live: AbstractContextManager[object] = nullcontext()
    display: LineDisplay | TerminalDisplay
    if json_lines:
        display = LineDisplay(print_json, JSON_EVERY_S, opens=True, clock=clock)
    elif console.is_terminal:
        display = terminal = TerminalDisplay(clock)
        live = Live(get_renderable=terminal.draw, console=console, refresh_per_second=4, redirect_stdout=False)
    else:
        display = LineDisplay(print_plain, PLAIN_EVERY_S, opens=False, clock=clock)
    with live:
        try:
            yield display
        finally:
            display.finish()


@contextmanager
def progress_bar(what: str, shown: bool = True) -> Iterator[Callable[..., None]]:
    """Yields a callback (done, total, stage=what) to the same display, for commands that only count images.

    shown: if False, it displays nothing.
    """
    if not shown:
        yield lambda done, total, stage=what: None
        return
    with shard_progress() as report:
        yield lambda done, total, stage=what: report(Progress(stage, done, total))
