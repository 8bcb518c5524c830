"""Fields say what they are."""

import ast
import re
from itertools import pairwise

from tests.unit.docs.pages import ROOT, text_of


def holds_fields(node: ast.ClassDef) -> bool:
    """Is it a dataclass, a NamedTuple or a Protocol?"""
    said = map(ast.unparse, [*node.decorator_list, *node.bases])
    return any(re.search(r"\b(dataclass|NamedTuple|Protocol)\b", each) for each in said)


def undocumented_fields(node: ast.ClassDef) -> list[str]:
    """The fields of a class that have no docstring below them; those whose names begin with _ need none."""
    return [
        each.target.id
        for each, below in pairwise([*node.body, None])
        if isinstance(each, ast.AnnAssign)
        and not each.target.id.startswith("_")
        and not (isinstance(below, ast.Expr) and is_text(below.value))
    ]


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(node.value)


def test_every_field_has_a_docstring():
    classes = [
        (path, node)
        for package in ("sharding", "horovod_ocr")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, ast.ClassDef) and holds_fields(node)
    ]
    assert len(classes) > 150
    missing = [
        f"{path.relative_to(ROOT)}: {node.name}.{name}" for path, node in classes for name in undocumented_fields(node)
    ]
    assert missing == []
