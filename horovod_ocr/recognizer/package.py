"""An exported recogniser as a folder or one zip: what is in it, and whether it is whole.

recognizer.json     what the outputs mean, the size of images, confidences, where it came from: `Package.about`
model.onnx          float32
model.int8.onnx     a quarter of the size, and faster; missing if it was not wanted, or lost too much
README.md           the model card
"""

import hashlib
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horovod_ocr.errors import ExportError
from horovod_ocr.run.folder import EXPORT

FORMAT, VERSION = "horovod-ocr recognizer", 1
ABOUT, CARD = "recognizer.json", "README.md"
MODEL_NAMES = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
MOST_ABOUT_BYTES = 64 << 20
DAMAGE = (  # what zipfile and files raise
    *(OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, MemoryError),
)
MOST_MODEL_BYTES = 2 << 30  # onnx cannot hold more in one file


@dataclass(frozen=True)
class Package:
    """What was read of an export."""

    path: Path
    """The folder or the zip."""
    about: dict[str, Any]
    """The content of recognizer.json."""
    precision: str
    """Which of its models this is: fp32 or int8."""
    model: bytes
    """The content of its .onnx file."""

    @property
    def images_a_run(self) -> int:
        """How many images a run of the model may hold."""
        count = self.about["models"][self.precision]["images_a_run"]
        if type(count) is not int or count < 1:
            raise ValueError(f"images_a_run is {count!r}")
        return count


def read_package(path: Path, precision: str = "auto") -> Package:
    """Read recognizer.json and one model, of an export or of the run that it is in. precision: fp32, int8, or auto:
    int8 if the export has it.

    Raises ExportError if the path is no export, is damaged, lacks that model, or is of another version.
    """
    if (path / EXPORT / ABOUT).is_file():  # a run
        path = path / EXPORT
    read = _opener(path)
    about = _parse_about(path, read(ABOUT, MOST_ABOUT_BYTES))
    models = about["models"]
    if precision == "auto":
        precision = "int8" if "int8" in models else "fp32"
    if precision not in models:
        raise ExportError(f"{path}: has no model {precision!r}; it has: {', '.join(models)}")
    model = read(MODEL_NAMES[precision], MOST_MODEL_BYTES)
    if hashlib.sha256(model).hexdigest() != models[precision]["sha256"]:
        raise ExportError(f"{path}: {MODEL_NAMES[precision]} is damaged: its bytes differ from {ABOUT}; export again")
    return Package(path, about, precision, model)


def _opener(path: Path) -> Callable[[str, int], bytes]:
    """What reads a file of the folder or the zip; at most so many bytes."""
    if path.is_dir():
        if not (path / ABOUT).is_file():
            raise ExportError(f"{path}: holds no {ABOUT}; make one with: horovod-ocr export")
        return lambda name, most: _read_at_most(path, name, lambda: _read_file(path / name, most))
    if not path.is_file():
        raise ExportError(f"{path}: no such folder or zip; make one with: horovod-ocr export")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            is_cut = file.read(2) == b"PK"
        said = "a damaged or incomplete zip; copy it again" if is_cut else "not a zip of horovod-ocr export"
        raise ExportError(f"{path}: {said}")

    def read(name: str, most: int) -> bytes:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(name).file_size > most:
                raise ExportError(f"{path}: {name} is larger than {most:,} bytes")
            return archive.read(name)

    return lambda name, most: _read_at_most(path, name, lambda: read(name, most))


def _read_file(path: Path, most: int) -> bytes:
    if path.exists() and not path.is_file():
        raise ExportError(f"{path}: not a file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ExportError(f"{path}: larger than {most:,} bytes")
    return content


def _read_at_most(path: Path, name: str, read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except (KeyError, FileNotFoundError) as error:
        raise ExportError(f"{path}: {name} is missing; export again") from error
    except DAMAGE as error:
        raise ExportError(f"{path}: {name} cannot be read ({error}); export again") from error


def _parse_about(path: Path, content: bytes) -> dict[str, Any]:
    try:
        about = json.loads(content)
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}")
        version, models = about["version"], about["models"]
        known = {name: values for name, values in models.items() if name in MODEL_NAMES}
        if not known or not all(isinstance(values["sha256"], str) for values in known.values()):
            raise ValueError("it names no model")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ExportError(f"{path}: {ABOUT} is not that of an exported recogniser ({error})") from error
    if type(version) is not int or version != VERSION:
        raise ExportError(f"{path}: export of version {version!r}, this program reads {VERSION}; export again")
    return {**about, "models": known}
