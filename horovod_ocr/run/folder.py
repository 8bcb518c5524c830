"""What lies in a run's folder, and what of it is kept. Without torch, so that it is listed at once.

runs/<name>/checkpoints/step-00000400.pt           weights, optimizer, place in the plan, charset, geometry, ...
runs/<name>/checkpoints/step-00000400.pt.sha256    as sha256sum writes it, with the epoch as a remark
runs/<name>/LAST, BEST                             the name of one of them
runs/<name>/OWNER                                  the job that may write here
"""

import errno
import math
import re
import secrets
import socket
from os import getpid
from pathlib import Path

from horovod_ocr.errors import CheckpointError
from sharding.system.files import write_whole

LAST, BEST, OWNER = "LAST", "BEST", "OWNER"
MOST_POINTER_BYTES = 4096  # read no more of a small file: it may be something else
CHECKPOINT_NAME = re.compile(r"step-([0-9]{8,15})\.pt")
TRAIN_FIRST = "train first: horovodrun -np 3 -H hosts.txt horovod-ocr train"


_REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
}


def remedy_for(error: OSError) -> str:
    """What whoever looks after the storage can do about an error of writing."""
    if isinstance(error, FileNotFoundError):
        return "bring its folder back"
    return _REMEDIES.get(error.errno, "see to its storage")


def checkpoint_path(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}.pt"


def digest_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def checkpoints_of(run: Path) -> list[Path]:
    """Oldest first."""
    found = (run / "checkpoints").glob("step-*.pt")
    return sorted((path for path in found if CHECKPOINT_NAME.fullmatch(path.name)), key=step_of)


def step_of(path: Path) -> int:
    return int(CHECKPOINT_NAME.fullmatch(path.name)[1])


def write_digest(path: Path, sha256: str, epoch: float) -> None:
    """Beside a checkpoint. sha256sum passes over the remark. Raises OSError."""
    write_whole(digest_path(path), f"{sha256}  {path.name}\n# epoch {epoch!r}\n".encode())


def read_digest(path: Path) -> tuple[str, float | None]:
    """Of a checkpoint: the sha256 that lies beside it, and the epochs it has seen; "" and None where nothing says."""
    try:
        words = read_start(digest_path(path)).split()
        epoch = float(words[words.index("epoch") + 1])
    except FileNotFoundError:
        return "", None
    except (ValueError, IndexError):
        epoch = math.nan
    return words[0] if words else "", epoch if math.isfinite(epoch) else None


def read_start(path: Path) -> str:
    """Of a small file. Raises OSError."""
    with path.open("rb") as file:
        return file.read(MOST_POINTER_BYTES).decode("utf-8", "replace").strip()


def pointed_to(run: Path, pointer: str) -> Path | None:
    """The file that LAST or BEST names; None where its content is damaged. CheckpointError where there is none."""
    try:
        name = read_start(run / pointer)
    except OSError as error:
        raise CheckpointError(f"{run} has no {pointer} checkpoint; {TRAIN_FIRST}") from error
    return run / "checkpoints" / name if CHECKPOINT_NAME.fullmatch(name) else None


def newest_run(runs: Path) -> Path:
    """The run whose LAST was written latest."""
    pointers = sorted(runs.glob(f"*/{LAST}"), key=lambda path: (path.stat().st_mtime_ns, path))
    if not pointers:
        raise CheckpointError(f"no run with a checkpoint in {runs}/; {TRAIN_FIRST}")
    return pointers[-1].parent


def worth_keeping(run: Path, keep: int, keep_epochs: int) -> set[str]:
    """Names of the last `keep` checkpoints, of LAST and BEST, and of the last one of each of the latest epochs.

    Those of steps after LAST are of a history that was given up: a run that fell back to an earlier one goes another
    way from there.
    """
    named = {pointer: pointed_to(run, pointer) for pointer in (LAST, BEST) if (run / pointer).exists()}
    last = named.get(LAST)
    paths = [path for path in checkpoints_of(run) if last is None or step_of(path) <= step_of(last)]
    kept = {path.name for path in named.values() if path} | {path.name for path in paths[-keep:]}
    epochs = {path.name: epoch for path in paths if (epoch := read_digest(path)[1]) is not None}
    last_of = {math.ceil(epoch): name for name, epoch in epochs.items()}  # at 2.0 the second epoch has just ended
    return kept | {last_of[number] for number in sorted(last_of)[-keep_epochs:] if keep_epochs}


def remove_old(run: Path, keep: int, keep_epochs: int) -> None:
    """All checkpoints but those worth keeping, and what killed processes have left. Raises OSError."""
    kept = worth_keeping(run, keep, keep_epochs)
    for path in checkpoints_of(run):
        if path.name not in kept:
            path.unlink()
            digest_path(path).unlink(missing_ok=True)
    for unfinished in (run / "checkpoints").glob(".step-*.tmp-*"):
        unfinished.unlink(missing_ok=True)


class Ownership:
    """The right to write into a run's folder: that of the job which began last, wherever the others may hang.

    A root that was cut off and comes back would write over what the job that replaced it has saved.
    """

    def __init__(self, run: Path):
        """Take the run over. CheckpointError where its folder cannot be written."""
        self.run = run
        self.token = f"{socket.gethostname()} {getpid()} {secrets.token_hex(8)}"
        try:
            (run / "checkpoints").mkdir(parents=True, exist_ok=True)
            write_whole(run / OWNER, f"{self.token}\n".encode())
        except OSError as error:
            advice = f"{remedy_for(error)}, or name another --runs"
            raise CheckpointError(f"{run}: cannot be written ({error.strerror or error}); {advice}") from error

    def check(self) -> None:
        """CheckpointError where another job has taken the run over, OSError where the folder is not to be read."""
        owner = read_start(self.run / OWNER)
        if owner != self.token:
            host = owner.split(" ")[0] or "an unknown host"
            raise CheckpointError(
                f"{self.run}: another job, on {host}, has taken this run over; this one ends, and saves nothing more"
            )
