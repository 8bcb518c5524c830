"""The runs of a folder: where each one is and how well it reads. Without torch, from small files alone."""

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from horovod_ocr.errors import CheckpointError
from horovod_ocr.run.folder import LAST, TRAIN_FIRST, checkpoints_of, pointed_to, step_of
from horovod_ocr.run.state import STATE, RunState, read_state

METRICS = "metrics.jsonl"
SIGNS = (STATE, METRICS, LAST)  # a folder with one of them is a run
AGES = ((86400, "d"), (3600, "h"), (60, "min"))
STYLES = {"training": "green", "silent": "yellow", "failed": "red"}


@dataclass(frozen=True)
class RunRow:
    """state: training, silent (it says that it trains, but no longer), stopped, finished, failed, or unknown: of a run
    without a state.json, or with a damaged one. reason: why it stopped or failed.

    best_cer, word_accuracy: of its best validation, fractions. time: its last sign of life, s since 1970. checkpoints:
    how many there are. None: it does not say.
    """

    name: str
    state: str
    reason: str
    step: int | None
    total_steps: int | None
    epoch: float | None
    best_cer: float | None
    word_accuracy: float | None
    time: float
    bytes: int
    checkpoints: int


def list_runs(runs: Path) -> list[RunRow]:
    """Newest first, the damaged ones too; but not those that may not be looked into. CheckpointError where there is
    none."""
    folders = [path for path in runs.glob("*") if any(os.path.isfile(path / name) for name in SIGNS)]
    if not folders:
        raise CheckpointError(f"no run in {runs}/; {TRAIN_FIRST}")
    return sorted(map(look_at, folders), key=lambda row: (-row.time, row.name))


def look_at(run: Path) -> RunRow:
    state, (epoch, logged_step, best) = read_state(run), read_metrics(run / METRICS)
    signs = [path.stat().st_mtime for name in SIGNS if os.path.isfile(path := run / name)]
    return RunRow(
        name=run.name,
        state=("silent" if state.is_silent else state.state) if state else "unknown",
        reason=state.reason if state else "",
        step=step_of_run(run, state, logged_step),
        total_steps=state.total_steps if state else None,
        epoch=epoch,
        best_cer=best.get("cer"),
        word_accuracy=best.get("word_accuracy"),
        time=state.time if state else max(signs, default=0.0),
        bytes=bytes_of(run),
        checkpoints=len(checkpoints_of(run)),
    )


def step_of_run(run: Path, state: RunState | None, logged: int | None) -> int | None:
    """What state.json says, else the later of what is saved and what is logged."""
    if state:
        return state.step
    try:
        last = pointed_to(run, LAST)
    except CheckpointError:
        last = None
    return max([step for step in (last and step_of(last), logged) if step is not None], default=None)


def read_metrics(path: Path) -> tuple[float | None, int | None, dict[str, float]]:
    """Epoch and step of the last lines that say so, and the scores of the validation with the lowest CER."""
    epoch, step, best = None, None, {}
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                values = numbers_of(line)
                epoch, step = values.get("epoch", epoch), values.get("step", step)
                if values.get("cer", math.inf) < best.get("cer", math.inf):
                    best = values
    except OSError:
        pass
    return epoch, None if step is None else int(step), best


def numbers_of(line: str) -> dict[str, float]:
    """The finite numbers of a line of metrics; none of one that was cut off."""
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    pairs = values.items() if isinstance(values, dict) else ()
    return {name: value for name, value in pairs if type(value) in (int, float) and abs(value) < 1e15}


def bytes_of(folder: Path) -> int:
    """Of all files in it. What goes while it is looked over, and what may not be looked at, does not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total


def draw_runs(rows: list[RunRow]) -> Group:
    """The table for a terminal, and below it why runs ended."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("run", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("step", "epoch", "words right", "CER", "seen", "disk", "checkpoints"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = (
            row.name,
            row.state,
            " / ".join(f"{number:,}" for number in (row.step, row.total_steps) if number is not None),
            "" if row.epoch is None else f"{row.epoch:.2f}",
            "" if row.word_accuracy is None else f"{row.word_accuracy:.2%}",
            "" if row.best_cer is None else f"{row.best_cer:.2%}",
            spell_age(time.time() - row.time),
            f"{row.bytes / 1e6:,.1f} MB",
            f"{row.checkpoints}",
        )
        # Text: rich would take [brackets] in a name for its markup
        table.add_row(*(Text(cell) for cell in cells), style=STYLES.get(row.state, ""))
    return Group(table, *(Text(sentence) for row in rows if (sentence := ending_of(row))))


def ending_of(row: RunRow) -> str:
    """Why it stopped or failed, or since when it is silent; "" where there is nothing to say."""
    if row.state == "silent":
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.time))
        return f"{row.name}: silent since {since}; if no process of it is left, go on with --resume"
    return f"{row.name}: {row.state}: {row.reason}" if row.reason else ""


def spell_age(age_s: float) -> str:
    """Whole days, hours or minutes; clocks of two hosts may differ, so that a sign of life lies ahead."""
    for unit_s, name in AGES:
        if age_s >= unit_s:
            return f"{int(age_s // unit_s)} {name} ago"
    return "now"
