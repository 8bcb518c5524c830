"""Checkpoint files: each is self-contained, and whole or absent. LAST and BEST point to them (run/folder.py)."""

import hashlib
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from horovod_ocr.checkpoint.archive import check_archive
from horovod_ocr.checkpoint.schema import FORMAT, VERSION, UnreadableError, check_payload
from horovod_ocr.console import console
from horovod_ocr.errors import CheckpointError
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
    run_named,
    step_of,
    write_digest,
)
from sharding.system.files import whole_file, write_whole


class HashedFile:
    """A file to write, with the sha256 of what was written, so that nothing is read again."""

    def __init__(self, file: BinaryIO):
        self.file, self.sha256 = file, hashlib.sha256()
        self.error: OSError | None = None  # torch.save may raise another error instead of it

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


def write_checkpoint(ownership: Ownership, step: int, payload: dict[str, Any], is_best: bool) -> Path:
    """Write a checkpoint, then the pointers. Root only. payload: the fields of `schema.FIELDS` but `step`.

    At whatever moment the process is killed, LAST names a whole file. Raises OSError, after which nothing has changed;
    CheckpointError if another job has taken the run over.
    """
    run = ownership.run
    path = checkpoint_path(run, step)
    ownership.check()
    with whole_file(path, fsyncs_folder=False) as file:  # write_digest does
        hashed = HashedFile(file)
        try:
            torch.save({"format": FORMAT, "version": VERSION, "step": step, **payload}, cast(IO[bytes], hashed))
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


def load_checkpoint(run: Path, pointer: str = LAST) -> dict[str, Any]:
    """The checkpoint that a pointer names. If it is damaged, a warning, and the newest whole one before it.

    Raises UnreadableError if it cannot be read at the moment, or by this version: to train on from the one before would
    remove it.
    CheckpointError if no checkpoint up to it is whole.
    """
    named = pointed_to(run, pointer)
    fault = "damaged" if (run / pointer).exists() else "missing"
    if named is None:
        console.print(f"warning: {run / pointer}: {fault}; taking the newest checkpoint", markup=False)
    for path in reversed(checkpoints_of(run)):
        if named is not None and step_of(path) > step_of(named):
            continue
        try:
            return read_checkpoint(path)
        except UnreadableError:
            raise
        except CheckpointError as error:
            console.print(f"warning: {error}; taking the one before", markup=False)
    what = f"names {named.name}" if named else f"is {fault}"
    raise CheckpointError(f"{run}: {pointer} {what}, and no checkpoint up to it is whole; train anew")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The payload of one file. Raises CheckpointError if it is not a whole checkpoint, UnreadableError if it cannot be
    read now, or by this version."""
    payload = read_saved(path)
    if not is_checkpoint(payload):
        raise CheckpointError(f"{path}: not a checkpoint of horovod-ocr")
    check_payload(path, payload)
    return {**payload, "path": str(path)}


def read_saved(path: Path) -> Any:
    """What torch.save wrote, checked against its digest file if there is one. No code in it is ever run.

    Raises CheckpointError if it is no whole file of torch.save, UnreadableError if it cannot be read now.
    """
    try:
        if not path.is_file():
            raise CheckpointError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
        digest, _ = read_digest(path)
        with path.open("rb") as file:
            if digest and hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise CheckpointError(f"{path}: damaged: its bytes differ from {digest_path(path).name}")
        check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableError(f"{path}: cannot be read ({reason}); try again, or move it away") from error
    except Exception as error:  # torch raises half a dozen kinds for a file that it has not written
        reason = str(error).split("\n")[0][:200] if isinstance(error, ValueError) else type(error).__name__
        raise CheckpointError(f"{path}: not a checkpoint, or a damaged one ({reason})") from error


def is_checkpoint(content: object) -> bool:
    """Whether what torch.save wrote says that it is a checkpoint of horovod-ocr, of whatever version."""
    return isinstance(content, dict) and content.get("format") == FORMAT


def load_best(runs: Path, name: str | None) -> tuple[Path, dict[str, Any]]:
    """A run, by default the newest, and its best checkpoint; its last one if none was validated."""
    run = run_named(runs, name) if name else newest_run(runs)
    return run, load_best_of(run)


def load_best_of(run: Path) -> dict[str, Any]:
    """The best checkpoint of a run's folder; its last one if none was validated."""
    return load_checkpoint(run, BEST if (run / BEST).exists() else LAST)
