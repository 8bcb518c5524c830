"""docs/faults.md draws the error tree of the code, and quotes its messages."""

import ast
import builtins
import functools
import importlib
import pkgutil
import re
from typing import NamedTuple

import pytest

from sharding.errors import OcrError
from tests.unit.docs.pages import DOCS, PACKAGES, ROOT, below, table_rows, text_of


class Drawn(NamedTuple):
    """An exception of the tree."""

    parent: str
    code: str


def drawn_errors(text: str) -> dict[str, Drawn]:
    """The tree with box-drawing lines; each line is a name and an exit code (- if it has none)."""
    found: dict[str, Drawn] = {}
    above: list[str] = []
    for line in text.splitlines():
        match = re.match(r"(?P<lines>[│├└─ ]*)(?P<name>[A-Z]\w+)(?:$| {2,}(?:(?P<code>\d|-)(?: |$))?)", line)
        if match is None:
            continue
        level = len(match["lines"]) // 4
        above[level:] = [match["name"]]
        found[match["name"]] = Drawn(above[level - 1] if level else "", match["code"] or "")
    return found


@functools.cache
def own_errors() -> tuple[type[BaseException], ...]:
    """Every exception class that a module of the packages defines."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name not in ("horovod_ocr.__main__", "horovod_ocr.distributed.horovod"):
                importlib.import_module(module.name)
    found, left = [], [BaseException]
    while left:
        for kind in left.pop().__subclasses__():
            left.append(kind)
            if kind.__module__.split(".")[0] in ("sharding", "horovod_ocr"):
                found.append(kind)
    return tuple(dict.fromkeys(found))


def errors_of_code() -> dict[str, Drawn]:
    return {
        kind.__name__: Drawn(kind.__base__.__name__, str(kind.exit_code) if issubclass(kind, OcrError) else "-")
        for kind in own_errors()
    }


@pytest.mark.slow
def test_the_drawn_error_tree_is_that_of_the_classes():
    tree = below(DOCS / "faults.md", "## The error tree")
    drawn = drawn_errors(re.search(r"```\n(.*?)```", tree, re.DOTALL)[1])
    python_own = {name for name in drawn if hasattr(builtins, name)}
    assert {name: drawn[name] for name in drawn.keys() - python_own} == errors_of_code()
    assert python_own <= {*(error.parent for error in errors_of_code().values()), "Exception"}


@pytest.mark.slow
def test_the_drawn_error_tree_names_the_file_of_each_class():
    tree = below(DOCS / "faults.md", "## The error tree")
    for kind in own_errors():
        path = kind.__module__.replace(".", "/") + ".py"
        assert re.search(rf"\b{kind.__name__} .*\b{re.escape(path)}: ", tree), f"{kind.__name__}: {path}"


@pytest.mark.slow
def test_the_error_tree_in_the_code_is_that_of_the_classes():
    """A class without a code has that of its parent."""
    drawn = drawn_errors(ast.get_docstring(ast.parse(text_of(ROOT / "sharding/errors.py"))))
    parents = {name: error.parent for name, error in drawn.items() if error.parent}
    codes = {name: drawn[name].code or drawn[parent].code for name, parent in parents.items()}
    code = errors_of_code()
    assert parents == {name: code[name].parent for name in parents}
    assert codes == {name: code[name].code for name in parents}
    assert drawn.keys() == {kind.__name__ for kind in own_errors() if issubclass(kind, OcrError)}


@pytest.mark.slow
def test_the_messages_of_gpus_are_those_of_the_code():
    """Between numbers, names and what is left out. Those of torch and NCCL are theirs."""
    files = (ROOT / "horovod_ocr").rglob("*.py")
    nodes = (node for path in files for node in ast.walk(ast.parse(text_of(path))))
    said = "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    table = below(DOCS / "cuda.md", "## When it does not work")
    quoted = [quote for first, *_ in table_rows(table) for quote in re.findall("`(.+?)`", first)]
    fragments = [
        fragment.strip(" ,:;()").removeprefix("training ").removeprefix("it waited for ")
        for quote in quoted
        if not re.search("nccl|NCCL async|^CUDA out", quote)
        for fragment in re.split(r"\.\.\.|\b\d[\d.]*\b|\bnode1|[()]", quote)
    ]
    assert len(quoted) > 10 and not [part for part in fragments if len(part) > 8 and part not in said]
