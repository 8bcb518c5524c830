"""The page in a folder that needs no server: the exported model runs in the browser, by onnxruntime-web.

    index.html              opened as a file, or from any static host
    page/                   the same files as those of `horovod-ocr serve`
    page/standalone/        onnxruntime-web, the model, and the tables of its script, as classic scripts: a browser
                            neither fetches files beside a page that was opened as a file, nor imports modules from them
    licences/               of onnxruntime and of the font

What is large is gzipped and then written as base64.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from horovod_ocr.errors import ConfigError, ExportError
from horovod_ocr.recognizer.package import Package
from horovod_ocr.recognizer.recognizer import recognizer_of
from horovod_ocr.serve.page_files import page_files
from horovod_ocr.serve.script_table import script_table
from horovod_ocr.tasks.readers import ClassReader, WordReader
from sharding.wording import some_names

RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
RUNTIME_FILE = "onnxruntime-web-1.30.0.tgz"
# the build for processors alone: those with WebGPU are twice as large
SCRIPT, LOADER, WASM = (
    f"package/dist/{name}" for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
)
SCRIPTS_HERE = "<!-- the scripts of a page without a server go here -->"
MARK = "page/standalone/model.js"  # what tells an older page from a folder of somebody's files
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self' file: blob: 'wasm-unsafe-eval'; style-src 'self' file:; "
    "font-src 'self' file:; img-src 'self' file: blob: data:; media-src blob:; form-action 'none'; base-uri 'none'"
)
NPM_TIMEOUT_S = 600


@dataclass(frozen=True)
class MadePage:
    """A folder that was written."""

    folder: Path
    """With index.html in it."""
    total_bytes: int
    """Of all its files."""
    model_bytes: int
    """Of the model, before it is packed."""


def make_page(package: Package, out: Path, runtime: Path) -> MadePage:
    """Write the page of an exported model into a folder.

    runtime: the .tgz of onnxruntime-web, of `find_runtime`. Raises ConfigError if the folder holds anything but an
    older page, ExportError if the export or the .tgz is not what it should be.
    """
    if out.exists() and not is_page(out) and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: holds other files than a page; name a new folder with --out")
    files = {**shared_files(), **standalone_files(package, runtime), **licence_files()}
    others = {path.name for path in out.iterdir()} - {Path(name).parts[0] for name in files} if out.exists() else set()
    if others:
        raise ConfigError(f"{out}: holds other files than a page ({some_names(sorted(others), 3)}); name a new folder")
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        fresh = Path(temporary, "page")
        for name, content in files.items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).write_bytes(content)
        if out.exists():
            os.rename(out, Path(temporary, "before"))
        os.rename(fresh, out)
    return MadePage(out, sum(map(len, files.values())), len(package.model))


def is_page(folder: Path) -> bool:
    """Is this a folder that `make_page` wrote?"""
    return (folder / MARK).is_file() and (folder / "index.html").is_file()


def shared_files() -> dict[str, bytes]:
    """The files that both forms have, index.html with the scripts of this form."""
    shared = {name: file.content for name, file in page_files().items()}
    index = shared.pop("index.html").decode()
    scripts = "\n".join(f'<script src="page/standalone/{name}.js"></script>' for name in ("runtime", "wasm", "model"))
    policy = f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">'
    index = index.replace("<title>", f"{policy}\n<title>", 1).replace(SCRIPTS_HERE, scripts, 1)
    return {"index.html": index.encode(), **{f"page/{name}": content for name, content in shared.items()}}


def standalone_files(package: Package, runtime: Path) -> dict[str, bytes]:
    """The model, what reads it, and what its outputs mean."""
    script, loader, wasm = read_runtime(runtime)
    model = {"about": page_about(package), "model": packed(package.model)}
    return {
        "page/standalone/runtime.js": script.partition(b"\n//# sourceMappingURL")[0] + b"\n",
        "page/standalone/wasm.js": f'var packed = {{"loader":"{packed(loader)}","wasm":"{packed(wasm)}"}};\n'.encode(),
        MARK: f"var standalone = Object.assign(packed, {json.dumps(model)});\n".encode(),
    }


def packed(content: bytes) -> str:
    """Gzipped, as base64; the same for the same content."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def page_about(package: Package) -> dict[str, Any]:
    """What GET /v1/model answers, and what the page needs to read by itself. ExportError if the export lacks it."""
    recognizer = recognizer_of(package)
    about, reader = package.about, recognizer.reader
    values: dict[str, Any] = {
        "name": about.get("name"),
        "kind": reader.kind,
        "precision": package.precision,
        "scores": about.get("scores"),
        "geometry": recognizer.geometry.to_dict(),
        "frame_px": recognizer.frame_px,
        "temperature": reader.temperature,
    }
    if isinstance(reader, ClassReader):
        return {**values, "classes": list(reader.classes)}
    assert isinstance(reader, WordReader)
    if not recognizer.frame_px:
        raise ExportError(f"{package.path}: reads words but names no frame_px; export again")
    profile = reader.charset.profile
    letters = list(reader.charset.letters)
    return {**values, "direction": profile.direction, "letters": letters, "script": script_table(reader.charset)}


def licence_files() -> dict[str, bytes]:
    """Of what is not this project's own. The Python package has the licence of onnxruntime, the npm package has not."""
    onnxruntime = resources.files("onnxruntime")
    return {
        "licences/onnxruntime.txt": onnxruntime.joinpath("LICENSE").read_bytes(),
        "licences/onnxruntime-third-parties.txt": onnxruntime.joinpath("ThirdPartyNotices.txt").read_bytes(),
        "licences/NotoNastaliqUrdu.txt": resources.files("horovod_ocr.synth").joinpath("fonts/OFL.txt").read_bytes(),
    }


def cache_folder() -> Path:
    """Where downloads are kept, as scripts/build_horovod.sh has it."""
    given = os.environ.get("HOROVOD_OCR_CACHE")
    return Path(given or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "horovod-ocr"))


def find_runtime(given: Path | None = None) -> Path:
    """The .tgz of onnxruntime-web: the one given, the one in the cache, or by npm. Its content is checked.

    Raises ConfigError if it is another file, or if npm is missing or fails.
    """
    if given:
        check_runtime(given)
        return given
    kept = cache_folder() / RUNTIME_FILE
    if kept.is_file() and integrity_of(kept) == RUNTIME_INTEGRITY:
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".npm.", dir=kept.parent) as temporary:
        pack_by_npm(Path(temporary))
        fetched = Path(temporary, RUNTIME_FILE)
        check_runtime(fetched)
        os.replace(fetched, kept)
    return kept


def pack_by_npm(folder: Path) -> None:
    """Put the .tgz into a folder, from wherever the user's npm takes packages. ConfigError if it cannot."""
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigError(
            f"npm is not installed, which fetches {RUNTIME}; install it, or run `npm pack {RUNTIME}` on another "
            f"machine and give the file: --runtime {RUNTIME_FILE}"
        )
    command = [npm, "pack", RUNTIME, "--pack-destination", str(folder), "--silent"]
    try:
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"npm pack {RUNTIME}: no answer in {NPM_TIMEOUT_S} s; try again, or use --runtime") from error
    if ended.returncode or not (folder / RUNTIME_FILE).is_file():
        told = (ended.stderr or ended.stdout).strip().splitlines() or [f"exit code {ended.returncode}"]
        raise ConfigError(f"npm pack {RUNTIME} failed ({told[0]}); to do without npm here, use --runtime FILE.tgz")


def check_runtime(path: Path) -> None:
    """ConfigError if this is another file than the one this program was tested with."""
    try:
        found = integrity_of(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the .tgz of: npm pack {RUNTIME}") from error
    if found != RUNTIME_INTEGRITY:
        raise ConfigError(f"{path}: not {RUNTIME} (its sha512 differs); make it with: npm pack {RUNTIME}")


def integrity_of(path: Path) -> str:
    """As npm writes it."""
    with path.open("rb") as file:
        return "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()


def read_runtime(path: Path) -> tuple[bytes, bytes, bytes]:
    """The script, the loader of the wasm, and the wasm."""
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes()), mode="r:gz") as archive:
        found = {
            member.name: archive.extractfile(member) for member in archive if member.name in (SCRIPT, LOADER, WASM)
        }
        script, loader, wasm = (file.read() for name in (SCRIPT, LOADER, WASM) if (file := found[name]))
    return script, loader, wasm
