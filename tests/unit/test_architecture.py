"""The walls of the house, read from the imports: one way through the rooms, and no circle."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# the order of the data's way; a room imports only rooms before it
ROOMS = (
    "errors console text data models config run distributed tasks checkpoint evaluation training launch scaling "
    "synth recognizer export serve reports cli"
).split()
TRAINERS = ("horovod_ocr", "torch", "horovod", "typer")
FORBIDDEN = ("horovod_ocr.distributed", "horovod_ocr.config", "pathlib")  # World, config objects, paths
FILES = sorted([*(ROOT / "sharding").rglob("*.py"), *(ROOT / "horovod_ocr").rglob("*.py")])


@cache
def imported_by(path: Path) -> set[str]:
    """Absolute names of the modules a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "horovod_ocr" and len(parts) > 1 and parts[1] in ROOMS else None


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_sharding_imports_nothing_of_the_trainer():
    forbidden = {
        module_of(path): names
        for path in FILES
        if path.is_relative_to(ROOT / "sharding")
        and (names := {name for name in imported_by(path) if name.split(".")[0] in TRAINERS})
    }
    assert forbidden == {}


def test_a_room_imports_only_rooms_before_it():
    for path in FILES:
        here = room_of(module_of(path))
        if here is None:
            assert path.is_relative_to(ROOT / "sharding") or path.name in ("__init__.py", "__main__.py"), path
            continue
        later = {name for name in imported_by(path) if room_of(name) in ROOMS[ROOMS.index(here) + 1 :]}
        assert not later, f"{module_of(path)} imports {later}"


@pytest.mark.parametrize("package, module", [("horovod", "horovod"), ("torch.distributed", "torch_engine")])
def test_one_file_imports_an_engine(package, module):
    importers = [
        module_of(path) for path in FILES if any(f"{name}.".startswith(f"{package}.") for name in imported_by(path))
    ]
    assert importers == [f"horovod_ocr.distributed.{module}"]


def test_readers_of_exports_reach_no_torch():
    """Whoever installs `horovod-ocr[serve]` has neither torch nor what else only training needs."""
    modules = {module_of(path): imported_by(path) for path in FILES}
    reached, waiting = set(), [name for name in modules if room_of(name) in ("recognizer", "serve")]
    assert len(waiting) > 20
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += [name for name in modules[module] if name in modules]
    heavy = {"torch", "horovod", "webdataset", "rapidfuzz", "tensorboard", "matplotlib"}
    found = {module: names for module in reached if (names := {name.split(".")[0] for name in modules[module]} & heavy)}
    assert found == {}


def test_no_circle_between_files():
    modules = {module_of(path): imported_by(path) for path in FILES}
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in done:
            for name in modules[module]:
                if name in modules and name != module:
                    visit(name, [*way, module])
            done.add(module)

    for module in modules:
        visit(module, [])


def test_what_must_see_only_plain_values_does():
    """plan, charset, decode, metrics and models know no World, no paths, no config."""
    for module in ("data/plan", "text/charset", "text/decode", "text/metrics", "models/crnn", "models/batchnorm"):
        names = imported_by(ROOT / "horovod_ocr" / f"{module}.py")
        assert not {name for name in names if name.startswith(FORBIDDEN)}
