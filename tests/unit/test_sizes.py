"""What can be read at one sitting: functions, classes, and what a module needs of the others."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "sharding").rglob("*.py"), *(ROOT / "horovod_ocr").rglob("*.py")])
FUNCTION_LINES, CLASS_LINES, CLASS_FIELDS, IMPORTED_NAMES = 60, 150, 15, 30


@cache
def nodes_in(path: Path) -> list[ast.AST]:
    """All nodes of a module."""
    return list(ast.walk(ast.parse(path.read_text("utf-8"))))


def nodes_of(kind: type) -> list[tuple[str, ast.AST]]:
    """(file and name, node) of every function or class."""
    return [
        (f"{path.relative_to(ROOT)}: {node.name}", node)
        for path in FILES
        for node in nodes_in(path)
        if isinstance(node, kind)
    ]


def lines_of(node: ast.AST) -> int:
    return node.end_lineno - node.lineno + 1


def fields_of(node: ast.ClassDef) -> set[str]:
    """Annotated names of the body, and what methods set on self."""
    fields = {each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and not is_constant(each)}
    return fields | {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and isinstance(each.value, ast.Name)
        and each.value.id == "self"
    }


def is_constant(field: ast.AnnAssign) -> bool:
    return "ClassVar" in ast.unparse(field.annotation)


def imported_names(path: Path) -> list[str]:
    """Names that a module takes from other modules of the project, wherever in the file."""
    return [
        alias.name
        for node in nodes_in(path)
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("sharding", "horovod_ocr")
        for alias in node.names
    ]


def test_functions_are_short():
    functions = nodes_of(ast.FunctionDef)
    assert len(functions) > 1000
    assert [name for name, node in functions if lines_of(node) > FUNCTION_LINES] == []


def test_classes_are_small_and_hold_few_fields():
    classes = nodes_of(ast.ClassDef)
    assert len(classes) > 200
    assert [name for name, node in classes if lines_of(node) > CLASS_LINES] == []
    assert [name for name, node in classes if len(fields_of(node)) > CLASS_FIELDS] == []


def test_a_module_needs_few_names_of_others():
    assert [str(path.relative_to(ROOT)) for path in FILES if len(imported_names(path)) > IMPORTED_NAMES] == []
