"""Which export a command means."""

import json
from pathlib import Path
from typing import NamedTuple

from horovod_ocr.errors import CheckpointError, ExportError
from horovod_ocr.recognizer.package import ABOUT
from horovod_ocr.run.folder import BEST, EXPORT, LAST, newest_run, pointed_to, run_named, step_of

EXPORT_FIRST = "make one with: horovod-ocr export"


class FoundExport(NamedTuple):
    """What a run has."""

    run: Path
    """Its folder."""
    path: Path | None
    """The folder of its export; None if there is none of its best checkpoint."""
    why_none: str
    """Why not, as a sentence."""


def find_export(runs: Path, name: str | None) -> FoundExport:
    """The export of a run, by default of the newest one. CheckpointError if there is no such run."""
    try:
        run = run_named(runs, name) if name else newest_run(runs)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; or name an export from elsewhere") from error
    export = run / EXPORT
    try:
        step = json.loads((export / ABOUT).read_bytes())["trained"]["step"]
    except OSError:
        return FoundExport(run, None, f"{run} has no export; {EXPORT_FIRST} {run.name}")
    except (ValueError, LookupError, TypeError):
        return FoundExport(run, None, f"{export / ABOUT} is damaged; {EXPORT_FIRST} {run.name}")
    best = best_step(run)
    if best is not None and best != step:
        remark = f"{export} is of step {step:,}, and the best checkpoint of step {best:,}"
        return FoundExport(run, None, f"{remark}; {EXPORT_FIRST} {run.name}")
    return FoundExport(run, export, "")


def require_export(runs: Path, name: str | None) -> Path:
    """The same, for commands that read with nothing else. ExportError if there is none."""
    found = find_export(runs, name)
    if found.path is None:
        raise ExportError(found.why_none)
    return found.path


def best_step(run: Path) -> int | None:
    """The step of a run's best checkpoint, or of its last one if none was validated; None if no file says."""
    try:
        path = pointed_to(run, BEST if (run / BEST).exists() else LAST)
    except CheckpointError:  # a run whose checkpoints were removed
        return None
    return step_of(path) if path else None
