"""Checkpoints: one self-contained file each, whole or not there, and the pointers LAST and BEST (see folder.py)."""

import hashlib
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from horovod_ocr.checkpoint.archive import check_archive
from horovod_ocr.console import console
from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import CheckpointError, OcrError
from horovod_ocr.run.folder import (
    BEST,
    LAST,
    Ownership,
    checkpoint_path,
    checkpoints_of,
    digest_path,
    newest_run,
    pointed_to,
    read_digest,
    step_of,
    write_digest,
)
from horovod_ocr.tasks.words import WordTask
from sharding.system.files import whole_file, write_whole

FORMAT = "horovod-ocr checkpoint"
VERSION = 3  # 2: labels are turned as UAX 9 says; 3: buckets, in the geometry
FIELDS = {
    "step": int,
    "best": float,
    "model": dict,
    "optimizer": dict,
    "rng": list,
    "config": dict,
    "task": dict,
    "model_name": str,
    "model_options": dict,
    "geometry": dict,
    "plan": dict,
    "versions": dict,
}
PLAIN_FIELDS = ("config", "task", "model_options", "geometry", "plan", "versions")
MOST_VALUES, MOST_LEVELS, MOST_PX = 1_000_000, 20, 10_000


class UnreadableError(CheckpointError):
    """A checkpoint that may be whole, but cannot be read now."""


class HashedFile:
    """A file to write that keeps the sha256 of what went through it, so that nothing is read again."""

    def __init__(self, file: BinaryIO):
        self.file, self.sha256 = file, hashlib.sha256()
        self.error: OSError | None = None  # torch.save may say it in its own words

    def write(self, content: bytes | memoryview) -> int:
        try:
            written = self.file.write(content)
        except OSError as error:
            self.error = error
            raise
        self.sha256.update(content)
        return written

    def flush(self) -> None:
        self.file.flush()


def write_checkpoint(ownership: Ownership, step: int, payload: dict, is_best: bool) -> Path:
    """Write a checkpoint, then the pointers. payload: has "epoch", how many were seen. Root only.

    Whatever moment the process is killed at, LAST names a whole file. Raises OSError, after which all is as before;
    CheckpointError where another job has taken the run over.
    """
    run = ownership.run
    path = checkpoint_path(run, step)
    ownership.check()
    with whole_file(path, fsyncs_folder=False) as file:  # write_digest does
        hashed = HashedFile(file)
        try:
            torch.save({"format": FORMAT, "version": VERSION, "step": step, **payload}, hashed)
        except RuntimeError as error:
            raise hashed.error or error from error
        ownership.check()
        digest_path(path).unlink(missing_ok=True)  # of an earlier file of this step, which has other bytes
    write_digest(path, hashed.sha256.hexdigest(), float(payload["epoch"]))
    ownership.check()
    write_whole(run / LAST, f"{path.name}\n".encode())
    if is_best:
        write_whole(run / BEST, f"{path.name}\n".encode())
    return path


def load_checkpoint(run: Path, pointer: str = LAST) -> dict:
    """The checkpoint that a pointer names; when it is damaged, said so, the newest whole one before it.

    Not so where it cannot be read at the moment: training on from the one before would remove it.
    """
    named = pointed_to(run, pointer)
    if named is None:
        console.print(f"warning: {run / pointer}: damaged; taking the newest checkpoint", markup=False)
    for path in reversed(checkpoints_of(run)):
        if named is not None and step_of(path) > step_of(named):
            continue
        try:
            return read_checkpoint(path)
        except UnreadableError:
            raise
        except CheckpointError as error:
            console.print(f"warning: {error}; taking the one before", markup=False)
    what = f"names {named.name}" if named else "is damaged"
    raise CheckpointError(f"{run}: {pointer} {what}, and no checkpoint up to it is whole; train anew")


def read_checkpoint(path: Path) -> dict:
    """One file. Its digest is checked where it lies beside it; no code in it is ever run."""
    try:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file")
        digest, _ = read_digest(path)
        with path.open("rb") as file:
            if digest and hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise CheckpointError(f"{path}: damaged: its bytes differ from {digest_path(path).name}")
        check_archive(path)
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableError(f"{path}: cannot be read ({reason}); try again, or move it away") from error
    except Exception as error:  # torch raises half a dozen kinds for a file that is none of its own
        reason = str(error).split("\n")[0][:200] if isinstance(error, ValueError) else type(error).__name__
        raise CheckpointError(f"{path}: not a checkpoint, or a damaged one ({reason})") from error
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of horovod-ocr")
    check_payload(path, payload)
    return {**payload, "path": str(path)}


def check_payload(path: Path, payload: dict) -> None:
    """CheckpointError that names the first field which is missing, of another type or not in itself sound."""
    version = payload.get("version")
    if type(version) is not int or abs(version) > MOST_VALUES:
        raise CheckpointError(f"{path}: damaged: its field version is a {type(version).__name__}")
    if version != VERSION:
        raise CheckpointError(f"{path}: checkpoint version {version}, this program reads {VERSION}; train anew")
    for name, kind in FIELDS.items():
        if name not in payload:
            raise CheckpointError(f"{path}: damaged: it has no field {name}")
        value = payload[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise CheckpointError(f"{path}: damaged: its field {name} is a {type(value).__name__}, not {kind.__name__}")
    for name, is_valid in SOUND.items():
        try:
            sound = is_valid(payload[name])
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, OcrError):
            sound = False
        if not sound:
            raise CheckpointError(f"{path}: damaged: its field {name} does not hold what it should")


def is_plain(value: object) -> bool:
    """Numbers and texts in lists and dictionaries, and not more of them than a checkpoint has?

    A file of a few bytes can hold lists that hold each other many times over.
    """
    level, seen = [value], 0
    for _ in range(MOST_LEVELS):
        parts = [[*each.keys(), *each.values()] if isinstance(each, dict) else each for each in level]
        level = []
        for part in parts:
            if isinstance(part, list | tuple):
                level += part
                if seen + len(level) > MOST_VALUES:
                    return False
            elif not isinstance(part, str | int | float | None):
                return False
        seen += len(level)
        if not level:
            return True
    return False


def is_dense(value: object) -> bool:
    """A tensor of which each element has a place of its own? A file of a few bytes can claim a tensor of any size."""
    return isinstance(value, Tensor) and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def is_optimizer(state: dict) -> bool:
    """As torch.optim.Optimizer.state_dict."""
    groups, slots = state["param_groups"], state["state"]
    values = [value for slot in slots.values() for value in slot.values()]
    return (
        is_plain(groups)
        and all(isinstance(group["params"], list) for group in groups)
        and all(is_dense(value) or isinstance(value, int | float | None) for value in values)
    )


def is_plan(plan: dict) -> bool:
    """Numbers and a digest, as begin.identity_of."""
    return bool(plan) and all(isinstance(name, str) and isinstance(value, str | int) for name, value in plan.items())


def is_geometry(values: dict) -> bool:
    geometry = Geometry.from_dict(values)
    return (
        type(geometry.height) is int
        and 0 < geometry.height <= MOST_PX
        and all(0 < edge <= MOST_PX for edge in geometry.bucket_edges)
    )


SOUND = {
    **dict.fromkeys(PLAIN_FIELDS, is_plain),
    "step": lambda step: 0 <= step < 1 << 53,
    "model": lambda state: all(isinstance(name, str) and is_dense(value) for name, value in state.items()),
    "optimizer": is_optimizer,
    "rng": lambda states: all(is_dense(each) and each.dtype == torch.uint8 and each.dim() == 1 for each in states),
    "plan": lambda plan: is_plain(plan) and is_plan(plan),
    "geometry": lambda values: is_plain(values) and is_geometry(values),
    "task": lambda values: is_plain(values) and bool(WordTask.from_dict(values)),
}


def load_best(runs: Path, name: str | None) -> tuple[Path, dict]:
    """A run, the newest when no name is given, and its best checkpoint; the last one where none was validated."""
    run = runs / name if name else newest_run(runs)
    return run, load_checkpoint(run, BEST if (run / BEST).exists() else LAST)
