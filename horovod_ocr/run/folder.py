"""What a run's folder holds, and which of its checkpoints are kept. No torch, so that it is listed at once.

runs/<name>/checkpoints/step-00000400.pt           weights, optimizer, step, task, geometry, config, ...
runs/<name>/checkpoints/step-00000400.pt.sha256    as sha256sum writes it, with the epoch as a remark
runs/<name>/LAST, BEST                             the name of one of them
runs/<name>/OWNER                                  the job that may write here
runs/<name>/train.log, logs/, metrics.jsonl, tensorboard/    see log.py
runs/<name>/state.json, REQUEST                    see state.py
runs/<name>/eval.json                              the latest scores of a split: evaluation/score.py
runs/<name>/export/, export.zip                    of horovod-ocr export: recognizer/package.py
runs/<name>/launch.json, restarts.jsonl            of a supervised run: launch/supervise/record.py
"""

import errno
import math
import os
import re
import secrets
import socket
from pathlib import Path

from horovod_ocr.config.train import check_run_name
from horovod_ocr.errors import CheckpointError
from sharding.system.files import write_whole

LAST, BEST, OWNER = "LAST", "BEST", "OWNER"
TRAIN_LOG, METRICS, EVAL, EXPORT = "train.log", "metrics.jsonl", "eval.json", "export"
MOST_POINTER_BYTES = 4096  # read no more of a small file: it may be something else
CHECKPOINT_NAME = re.compile(r"step-([0-9]{8,15})\.pt")
TRAIN_FIRST = "train first: horovod-ocr train"
MOST_NAMED = 10  # runs in a sentence

_REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
}


def remedy_for(error: OSError) -> str:
    """What to do about storage that a file could not be written to."""
    if isinstance(error, FileNotFoundError):
        return "bring its folder back"
    return _REMEDIES.get(error.errno or 0, "see to its storage")


def checkpoint_path(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}.pt"


def digest_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def checkpoints_of(run: Path) -> list[Path]:
    """The checkpoints of a run, by step."""
    found = (run / "checkpoints").glob("step-*.pt")
    return sorted((path for path in found if CHECKPOINT_NAME.fullmatch(path.name)), key=step_of)


def step_of(path: Path) -> int:
    """The step in a checkpoint's name. ValueError if it is not the name of a checkpoint."""
    if match := CHECKPOINT_NAME.fullmatch(path.name):
        return int(match[1])
    raise ValueError(f"{path.name} is not the name of a checkpoint")


def write_digest(path: Path, sha256: str, epoch: float) -> None:
    """Write the digest file of a checkpoint. sha256sum ignores the remark. Raises OSError."""
    write_whole(digest_path(path), f"{sha256}  {path.name}\n# epoch {epoch!r}\n".encode())


def read_digest(path: Path) -> tuple[str | None, float | None]:
    """A checkpoint's sha256 and its epoch, from its digest file; None for what that does not say."""
    try:
        words = read_start(digest_path(path)).split()
        epoch = float(words[words.index("epoch") + 1])
    except FileNotFoundError:
        return None, None
    except (ValueError, IndexError):
        epoch = math.nan
    return words[0] if words else None, epoch if math.isfinite(epoch) else None


def read_start(path: Path) -> str:
    """The content of a small file. Raises OSError."""
    with path.open("rb") as file:
        return file.read(MOST_POINTER_BYTES).decode("utf-8", "replace").strip()


def run_named(runs: Path, name: str) -> Path:
    """A run that is there. CheckpointError if it is not, with the names of those that are."""
    run = runs / check_run_name(name)
    if run.is_dir():
        return run
    check_folder(runs)
    others = sorted(path.name for path in runs_in(runs))
    more = ", ..." if len(others) > MOST_NAMED else ""
    there = f"there are: {', '.join(others[:MOST_NAMED])}{more}" if others else TRAIN_FIRST
    raise CheckpointError(f"no run {name!r} in {runs}/; {there}")


def runs_in(runs: Path) -> list[Path]:
    """The runs that hold checkpoints."""
    return [path for path in runs.glob("*") if holds_run(path)]


def holds_run(run: Path) -> bool:
    """Whether a folder holds checkpoints, or held some."""
    return os.path.exists(run / LAST) or bool(checkpoints_of(run))  # Path.exists raises if it may not look


def why_no_run(folder: Path) -> str:
    """What is wrong with a folder that holds no checkpoint, as the end of a sentence."""
    if not os.path.isdir(folder):
        return "is no folder"
    if os.path.exists(folder.parent / LAST):
        return f"is a part of a run; give {folder.parent}"
    if inside := sorted(runs_in(folder)):
        return f"is no run, but holds {len(inside):,}; give one, such as {inside[0]}"
    return f"has no checkpoint; {TRAIN_FIRST}"


def pointed_to(run: Path, pointer: str) -> Path | None:
    """The file that LAST or BEST names; None if its content is damaged, or if it is missing beside checkpoints.
    CheckpointError if there is no checkpoint."""
    try:
        name = read_start(run / pointer)
    except OSError as error:
        if checkpoints_of(run):
            return None
        raise CheckpointError(f"{run} {why_no_run(run)}") from error
    return run / "checkpoints" / name if CHECKPOINT_NAME.fullmatch(name) else None


def check_folder(runs: Path) -> None:
    """CheckpointError for a file."""
    if runs.exists() and not runs.is_dir():
        raise CheckpointError(f"{runs} is no folder; name that of the runs")


def newest_run(runs: Path) -> Path:
    """The run whose LAST was written latest; where that is missing, its last checkpoint counts.

    CheckpointError if there is none.
    """
    saved = [(path / LAST if os.path.exists(path / LAST) else checkpoints_of(path)[-1], path) for path in runs_in(runs)]
    if not saved:
        check_folder(runs)
        raise CheckpointError(f"no run with a checkpoint in {runs}/; {TRAIN_FIRST}")
    return max(saved, key=lambda item: (item[0].stat().st_mtime_ns, item[1]))[1]


def worth_keeping(run: Path, keep: int, keep_epochs: int) -> set[str]:
    """Names of the last `keep` checkpoints, of LAST and BEST, and of the last one of each of the latest epochs.

    Checkpoints of steps after LAST are not kept: the run fell back to an earlier one, and went another way from there.
    """
    named = {pointer: pointed_to(run, pointer) for pointer in (LAST, BEST) if (run / pointer).exists()}
    last = named.get(LAST)
    paths = [path for path in checkpoints_of(run) if last is None or step_of(path) <= step_of(last)]
    kept = {path.name for path in named.values() if path} | {path.name for path in paths[-keep:]}
    epochs = {path.name: epoch for path in paths if (epoch := read_digest(path)[1]) is not None}
    last_of = {math.ceil(epoch): name for name, epoch in epochs.items()}  # at 2.0 the second epoch has just ended
    return kept | {last_of[number] for number in sorted(last_of)[-keep_epochs:] if keep_epochs}


def remove_old(run: Path, keep: int, keep_epochs: int) -> None:
    """Remove all checkpoints but those worth keeping, and what killed processes have left. Raises OSError, and
    CheckpointError if a pointer has gone meanwhile."""
    kept = worth_keeping(run, keep, keep_epochs)
    for path in checkpoints_of(run):
        if path.name not in kept:
            path.unlink()
            digest_path(path).unlink(missing_ok=True)
    for unfinished in (run / "checkpoints").glob(".step-*.tmp-*"):
        unfinished.unlink(missing_ok=True)


class Ownership:
    """The right to write into a run's folder, which belongs to the job that began last.

    Without it, a root that was cut off and comes back would write over what the job that replaced it has saved.
    """

    def __init__(self, run: Path):
        """Take the run over. CheckpointError if its folder cannot be written."""
        self.run = run
        self.token = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"
        try:
            (run / "checkpoints").mkdir(parents=True, exist_ok=True)
            write_whole(run / OWNER, f"{self.token}\n".encode())
        except OSError as error:
            advice = f"{remedy_for(error)}, or name another --runs"
            raise CheckpointError(f"{run}: cannot be written ({error.strerror or error}); {advice}") from error

    def check(self) -> None:
        """CheckpointError if another job has taken the run over, OSError if the folder cannot be read."""
        owner = read_start(self.run / OWNER)
        if owner != self.token:
            host = owner.split(" ")[0] or "an unknown host"
            raise CheckpointError(
                f"{self.run}: another job, on {host}, has taken this run over; this one ends, and saves nothing more"
            )
