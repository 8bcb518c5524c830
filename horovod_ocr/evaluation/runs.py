"""The runs of a folder: where each one is and how well it reads. No torch: small files alone are read."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horovod_ocr.errors import CheckpointError
from horovod_ocr.run.folder import LAST, METRICS, TRAIN_FIRST, check_folder, checkpoints_of, pointed_to, step_of
from horovod_ocr.run.state import STATE, RunState, read_state
from horovod_ocr.tasks.figures import FIGURES, figures_in

SIGNS = (STATE, METRICS, LAST)  # a folder with one of them is a run


@dataclass(frozen=True)
class RunRow:
    """One run."""

    name: str
    """That of its folder."""
    state: str
    """training, silent (training, by a state.json that is old), stopped, finished, failed; or unknown: its state.json
    is missing or damaged."""
    reason: str
    """Why it stopped or failed; empty if it did not."""
    step: int | None
    """Updates so far; None if no file of the run says."""
    total_steps: int | None
    """Of the whole run; None if its state.json is missing or damaged."""
    epoch: float | None
    """Passes over the train split so far; None if its metrics do not say."""
    scores: dict[str, float]
    """Of its best validation: fractions by their keys; empty if there was none."""
    time: float
    """When it was last heard of, s since 1970."""
    bytes: int
    """Of all its files."""
    checkpoints: int
    """How many there are."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON: the scores of each task that lists show, beside the other fields; None for those it has not."""
        listed = {key: self.scores.get(f.key) for task in FIGURES.values() for key, f in task.listed.items()}
        return {name: value for name, value in vars(self).items() if name != "scores"} | listed


def list_runs(runs: Path) -> list[RunRow]:
    """Newest first, the damaged ones too; but not those that may not be read. CheckpointError if there is none."""
    folders = [path for path in runs.glob("*") if any(os.path.isfile(path / name) for name in SIGNS)]
    if not folders:
        check_folder(runs)
        raise CheckpointError(f"no run in {runs}/; {TRAIN_FIRST}")
    return sorted(map(describe_run, folders), key=lambda row: (-row.time, row.name))


def describe_run(run: Path) -> RunRow:
    state, (epoch, logged_step, best) = read_state(run), read_metrics(run / METRICS)
    signs = [path.stat().st_mtime for name in SIGNS if os.path.isfile(path := run / name)]
    return RunRow(
        name=run.name,
        state=("silent" if state.is_silent else state.state) if state else "unknown",
        reason=state.reason if state else "",
        step=step_of_run(run, state, logged_step),
        total_steps=state.total_steps if state else None,
        epoch=epoch,
        scores=best,
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
    return max([step for step in (step_of(last) if last else None, logged) if step is not None], default=None)


def read_metrics(path: Path) -> tuple[float | None, int | None, dict[str, float]]:
    """Epoch and step of the last lines that say so, and the scores of the best validation."""
    epoch, step = None, None
    best: dict[str, float] = {}
    lowest = math.inf
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                values = numbers_of(line)
                epoch, step = values.get("epoch", epoch), values.get("step", step)
                figures = figures_in(values)
                if figures and values.get("samples", 1) and values[figures.best] < lowest:
                    lowest = values[figures.best]
                    best = {figure.key: values[figure.key] for figure in figures.figures if figure.key in values}
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
