"""Only tasks/, text/, models/ and recipes know what kind of sample is trained and read."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3] / "horovod_ocr"
TRAINER = "run distributed checkpoint evaluation training launch recognizer export config".split()
# every reading has letters, of classes none
OF_READINGS = {"letters", "Letter", "with_letters", "horovod_ocr.text.decode"}
REPORTS = [ROOT / "reports" / f"{name}.py" for name in ("score", "runs", "plan", "doctor")]
FILES = sorted([path for room in TRAINER for path in (ROOT / room).rglob("*.py")] + REPORTS)
# What only words have, and what only CTC has. `word` itself is too common: a word list is one of a command's arguments.
SECRETS = re.compile(
    r"(?<!a)ctc|\bcer\b|charset|\bblank|letters?\b|one_minus_ned|1-ned|word_accuracy|word accuracy|WordTask"
    r"|WordScores|ClassTask|ClassScores|cross_entropy|\bauc\b|macro_f1|too_long"
    r"|edit_distance|levenshtein|greedy|text\.decode|text\.metrics|tasks\.words|word_report",
    re.IGNORECASE,
)


def names_in(path: Path) -> list[str]:
    """Identifiers, imported modules and texts of a file, without docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.arg):
            found.append(node.id if isinstance(node, ast.Name) else node.arg)
        elif isinstance(node, ast.Attribute):
            found.append(node.attr)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found += [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            found.append(node.value)
    return found


def is_secret(name: str) -> bool:
    return bool(SECRETS.search(name)) and name not in OF_READINGS


def test_the_trainer_does_not_know_what_it_trains():
    assert len(FILES) > 60
    said = [f"{path.relative_to(ROOT)}: {name!r}" for path in FILES for name in names_in(path) if is_secret(name)]
    assert said == []


def test_the_test_would_see_it():
    assert any(SECRETS.search(name) for name in names_in(ROOT / "tasks" / "words.py"))
