"""The documents, read as a test reads them."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import horovod_ocr
import sharding
from horovod_ocr.cli.main import app

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
PACKAGES = (sharding, horovod_ocr)
MOST_LINES = 200  # of README.md


def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def below(page: Path, heading: str) -> str:
    """The text below a heading (`## Splits`), up to the next one of its level or above."""
    level = len(heading.split()[0])
    found = re.search(
        rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{level}}} |\Z)", text_of(page), flags=re.DOTALL | re.MULTILINE
    )
    assert found, f"{page.name} has no heading {heading}"
    return found[1]


def table_rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of each table; a bar inside code is written as \\|."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("| ---"):
            yield [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@functools.cache
def options_of(command: str) -> dict[str, Any]:
    """Each option as it is typed -> what typer holds of it. Without --help."""
    found = {}
    for parameter in typer.main.get_command(app).commands[command].params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            found |= dict.fromkeys([*parameter.opts, *parameter.secondary_opts], parameter)
    return found
