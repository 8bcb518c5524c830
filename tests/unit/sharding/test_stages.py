"""The stages of the sharder, read from the imports: each knows those before it, and readers see the format alone."""

import ast
from pathlib import Path

import pytest

import sharding

ROOT = Path(sharding.__file__).parents[1]
STAGES = (
    "errors wording reasons progress counts "
    "system format images layouts reading arranging packing options building build audit verify"
).split()
FORMAT_MAY_IMPORT = {"errors", "reasons", "system.files", "format"}
# What readers of shards import besides the format: errors, phrases, atomic files, and
READERS_MAY_IMPORT = {
    "config": {"options"},  # the settings of the command `shard` are its options
    # a decoder checks a PNG's chunks before a library reads it; loader workers are chosen by the cores
    "data": {"images.png", "images.jpeg", "reasons", "system.machine"},
    "evaluation": {"building.origins"},  # the files of the worst mistakes
    "launch": {"system.machine"},  # the memory of a host
}
ANYTHING = {"cli", "synth", "reports", "recognizer", "serve"}


def imported_modules(path: Path) -> set[str]:
    """Modules of sharding that a file imports, wherever in the file, without the name of the package."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    return {node.module.removeprefix("sharding.") for node in nodes if (node.module or "").startswith("sharding.")}


def stage_of(module: str) -> str:
    return module.split(".")[0]


SHARDING = sorted(path for path in (ROOT / "sharding").rglob("*.py") if path != ROOT / "sharding/__init__.py")
READERS = sorted((ROOT / "horovod_ocr").rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts[1:]).removesuffix(".__init__")


def test_every_stage_is_in_the_order():
    assert {stage_of(name_of(path)) for path in SHARDING} == set(STAGES)


@pytest.mark.parametrize("path", SHARDING, ids=name_of)
def test_a_stage_imports_only_stages_before_it(path: Path):
    here = STAGES.index(stage_of(name_of(path)))
    later = {module for module in imported_modules(path) if STAGES.index(stage_of(module)) > here}
    assert not later, f"{path.relative_to(ROOT)} imports {later}"


@pytest.mark.parametrize("path", sorted((ROOT / "sharding/format").rglob("*.py")), ids=name_of)
def test_the_format_imports_errors_and_files_alone(path: Path):
    others = {module for module in imported_modules(path) if not {module, stage_of(module)} & FORMAT_MAY_IMPORT}
    assert not others, f"{path.relative_to(ROOT)} imports {others}"


@pytest.mark.parametrize("path", READERS, ids=name_of)
def test_readers_of_shards_import_the_format_alone(path: Path):
    room = path.relative_to(ROOT / "horovod_ocr").parts[0]
    if room in ANYTHING:
        return
    allowed = {"errors", "wording", "system.files"} | READERS_MAY_IMPORT.get(room, set())
    others = {module for module in imported_modules(path) if stage_of(module) != "format" and module not in allowed}
    assert not others, f"{path.relative_to(ROOT)} imports {others}"
