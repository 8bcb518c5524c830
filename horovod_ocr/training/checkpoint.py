"""Checkpoints: one self-contained file each, whole or not there, and the pointers LAST and BEST.

runs/<name>/checkpoints/step-00000400.pt           weights, optimizer, place in the plan, charset, geometry, ...
runs/<name>/checkpoints/step-00000400.pt.sha256    as sha256sum writes it
runs/<name>/LAST, BEST                             the name of one of them
"""

import hashlib
from pathlib import Path

import torch

from horovod_ocr.errors import CheckpointError
from horovod_ocr.log import console
from sharding.files import whole_file, write_whole

FORMAT = "horovod-ocr checkpoint"
VERSION = 1
LAST, BEST = "LAST", "BEST"


def save_checkpoint(run: Path, step: int, payload: dict, is_best: bool, keep: int) -> Path:
    """Write a checkpoint, then the pointers, then remove all but the newest `keep` and the best. Root only.

    Whatever moment the process is killed at, LAST names a whole file.
    """
    folder = run / "checkpoints"
    path = folder / f"step-{step:08d}.pt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            torch.save({"format": FORMAT, "version": VERSION, "step": step, **payload}, file)
            file.flush()
            with open(file.name, "rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            write_whole(digest_path(path), f"{digest}  {path.name}\n".encode())
        write_whole(run / LAST, f"{path.name}\n".encode())
        if is_best:
            write_whole(run / BEST, f"{path.name}\n".encode())
    except (OSError, RuntimeError) as error:  # RuntimeError: torch's own word for a full disk
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: cannot be written ({reason}); make room or choose another --runs") from error
    remove_old(run, keep)
    return path


def load_checkpoint(run: Path, pointer: str = LAST) -> dict:
    """The checkpoint that a pointer names; when it is damaged, said so, the newest whole one before it."""
    named = pointed_to(run, pointer)
    candidates = [path for path in reversed(checkpoints_of(run)) if path.name <= named.name]
    for path in candidates:
        try:
            payload = read_checkpoint(path)
        except CheckpointError as error:
            console.print(f"warning: {error}; taking the one before", markup=False)
            continue
        return payload
    raise CheckpointError(f"{run}: {pointer} names {named.name}, and no checkpoint up to it is whole; train anew")


def read_checkpoint(path: Path) -> dict:
    """One file. Its digest is checked where it lies beside it; no code in it is ever run."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    beside = digest_path(path)
    if beside.exists() and beside.read_text("ascii", "replace").split()[:1] != [hashlib.sha256(content).hexdigest()]:
        raise CheckpointError(f"{path}: damaged: its bytes differ from {beside.name}")
    del content
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a file that is none of its own
        raise CheckpointError(f"{path}: not a checkpoint, or a damaged one ({type(error).__name__})") from error
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of horovod-ocr")
    if payload["version"] != VERSION:
        raise CheckpointError(
            f"{path}: checkpoint version {payload['version']}, this program reads {VERSION}; train anew"
        )
    return {**payload, "path": str(path)}


def load_best(runs: Path, name: str | None) -> tuple[Path, dict]:
    """A run, the newest when no name is given, and its best checkpoint; the last one where none was validated."""
    run = runs / name if name else newest_run(runs)
    return run, load_checkpoint(run, BEST if (run / BEST).exists() else LAST)


def pointed_to(run: Path, pointer: str) -> Path:
    """The file that LAST or BEST names."""
    try:
        return run / "checkpoints" / (run / pointer).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{run} has no {pointer} checkpoint; train first: horovodrun -np 3 -H hosts.txt horovod-ocr train"
        ) from error


def newest_run(runs: Path) -> Path:
    """The run whose LAST was written latest."""
    pointers = sorted(runs.glob(f"*/{LAST}"), key=lambda path: (path.stat().st_mtime_ns, path))
    if not pointers:
        raise CheckpointError(
            f"no run with a checkpoint in {runs}/; train first: horovodrun -np 3 -H hosts.txt horovod-ocr train"
        )
    return pointers[-1].parent


def checkpoints_of(run: Path) -> list[Path]:
    """Oldest first."""
    return sorted((run / "checkpoints").glob("step-*.pt"))


def remove_old(run: Path, keep: int) -> None:
    kept = {pointed_to(run, pointer).name for pointer in (LAST, BEST) if (run / pointer).exists()}
    kept |= {path.name for path in checkpoints_of(run)[-keep:]}
    for path in checkpoints_of(run):
        if path.name not in kept:
            path.unlink()
            digest_path(path).unlink(missing_ok=True)
    for unfinished in (run / "checkpoints").glob(".step-*.tmp-*"):  # of a process that was killed
        unfinished.unlink()


def digest_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
