"""The files of an export: recognizer.json, the models, the model card; as a folder and as a zip."""

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

from horovod_ocr import __version__
from horovod_ocr.checkpoint.restore import Restored
from horovod_ocr.errors import ExportError
from horovod_ocr.export.card import write_card
from horovod_ocr.export.request import Exported, ExportRequest
from horovod_ocr.export.torch_network import frame_px_of
from horovod_ocr.recognizer.package import ABOUT, CARD, FORMAT, MODEL_NAMES, VERSION
from sharding.system.files import fsync_folder, whole_file, write_whole
from sharding.wording import some_names

FILES = {ABOUT, CARD, *MODEL_NAMES.values()}
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the time of the zip's members, so that the same models make the same zip


def check_out(out: Path) -> None:
    """ExportError unless an export may be written there: over an earlier one, or where nothing is."""
    if out.exists() and not out.is_dir():
        raise ExportError(f"{out} is a file; name a folder with --out")
    others = {path.name for path in out.iterdir()} - FILES if out.is_dir() else set()
    if others:
        raise ExportError(f"{out} holds other files ({some_names(sorted(others), 3)}); name another folder with --out")
    zipped = zip_of(out)
    if os.path.lexists(zipped) and not is_export(zipped):
        raise ExportError(f"{zipped} is no zip of an export, and would be replaced; name another folder with --out")
    above = next(folder for folder in out.parents if folder.exists())
    if not os.access(above, os.W_OK | os.X_OK) or not above.is_dir():
        raise ExportError(f"{above}: cannot be written; name another folder with --out")


def is_export(path: Path) -> bool:
    """Whether a zip is one that `write_export` wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            return ABOUT in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def describe(request: ExportRequest, restored: Restored, exported: Exported) -> dict[str, Any]:
    """The content of recognizer.json."""
    payload = request.payload
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": request.name,
        "task": restored.task.to_dict(),
        "geometry": restored.geometry.to_dict(),
        "frame_px": frame_px_of(restored.model),
        "confidence": {
            "temperature": exported.temperature,
            "fitted_on": exported.calibrated_on,
            "measured_on": exported.split,
            "calibration_error": {name: round(each.calibration_error, 5) for name, each in exported.scored.items()},
            "rejections": {
                name: [{key: round(value, 5) for key, value in row._asdict().items()} for row in each.rejections]
                for name, each in exported.scored.items()
            },
        },
        "models": {
            name: {
                "file": MODEL_NAMES[name],
                "bytes": len(model.content),
                "sha256": hashlib.sha256(model.content).hexdigest(),
                "images_a_run": model.images_a_run,
            }
            for name, model in exported.models.items()
        },
        "scores": {"split": exported.split, **{name: each.values for name, each in exported.scored.items()}},
        "parity": vars(exported.parity),
        "trained": {
            "run": request.name,
            "step": payload["step"],
            "index_digest": payload["plan"]["index_digest"],
            "model": payload["model_name"],
            "model_options": payload["model_options"],
            "parameters": sum(each.numel() for each in restored.model.parameters()),
        },
        "language_model": None,
        "made_by": f"horovod-ocr {__version__}",
    }


def write_export(request: ExportRequest, restored: Restored, exported: Exported) -> None:
    """Write the folder and the zip, each whole or not at all; an earlier export is replaced."""
    about = describe(request, restored, exported)
    files = {
        ABOUT: (json.dumps(about, ensure_ascii=False, indent=1) + "\n").encode(),
        CARD: write_card(about).encode(),
        **{MODEL_NAMES[name]: model.content for name, model in exported.models.items()},
    }
    out = request.out
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in out.parent.glob(f".{out.name}.tmp-*"):  # by an export that was killed
        shutil.rmtree(left, ignore_errors=True)
    fresh, former = (out.with_name(f".{out.name}.tmp-{word}-{os.getpid()}") for word in ("new", "old"))
    zipped = out.with_name(f".{out.name}.tmp-zip-{os.getpid()}")
    try:
        fresh.mkdir()
        for name, content in files.items():
            write_whole(fresh / name, content)
        write_zip(zipped, files)
        if out.exists():
            out.rename(former)
        fresh.rename(out)
        os.replace(zipped, zip_of(out))
        fsync_folder(out.parent)
    except BaseException:
        if former.exists() and not out.exists():
            former.rename(out)
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)
        zipped.unlink(missing_ok=True)


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    """The same files make the same bytes."""
    with whole_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, LONG_AGO), content, zipfile.ZIP_DEFLATED)


def zip_of(out: Path) -> Path:
    """The zip beside a folder."""
    return out.with_name(f"{out.name}.zip")
