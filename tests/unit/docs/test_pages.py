"""The documents say what the code is: modules, commands, options, settings, links, errors."""

import ast
import inspect
import os
import re
import shlex
from collections.abc import Iterator
from itertools import takewhile

import pytest

from horovod_ocr.checkpoint.schema import VERSION as CHECKPOINT_VERSION
from horovod_ocr.cli.main import COMMANDS
from horovod_ocr.config.overlay import settings_of
from horovod_ocr.config.train import TrainConfig
from sharding.format.idx import IDX_RECORD, IDX_VERSION
from sharding.format.index import VERSION, ShardInfo
from sharding.images.read import CHECKS
from sharding.layouts.find import LAYOUTS
from sharding.options import ShardOptions
from sharding.reasons import REASONS
from tests.unit.docs.pages import DOCS, MOST_LINES, PAGES, ROOT, below, options_of, table_rows, text_of
from tests.unit.test_architecture import ROOMS

# README


def test_readme_is_short():
    assert len(text_of(ROOT / "README.md").splitlines()) <= MOST_LINES


def test_the_three_commands_are_typed_by_a_test():
    section = below(ROOT / "README.md", "## Your own images")
    shown = [line.split(" # ")[0].strip() for line in re.findall("^    (.+)$", section, re.MULTILINE)[:3]]
    typed = text_of(ROOT / "tests/e2e/test_commands.py")
    assert shown[1] == "horovodrun -np 3 -H hosts.txt horovod-ocr train"
    assert all(f'"{command}"' in typed for command in shown)


def test_readme_links_every_document():
    linked = {target for _, target in links_of(text_of(ROOT / "README.md"))}
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} | {"CONTRIBUTING.md", "CHANGELOG.md"} <= linked


# links


def without_code(text: str) -> str:
    """Fenced blocks hold no links and no headings."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def links_of(text: str) -> list[tuple[str, str]]:
    """(words, target) of each link."""
    return re.findall(r"\[([^][]+)\]\(([^()\s]+)\)", without_code(text))


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    headings = re.findall(r"^#+ +(.+?) *$", without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    dead = []
    for _, target in links_of(text_of(page)):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        if not found.exists() or (anchor and anchor not in anchors_of(text_of(found))):
            dead.append(target)
    assert not dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_named_file_of_the_project_exists(page):
    """Paths in code that begin with a folder of the project; those with a blank or a pattern are none."""
    named = re.findall(r"`((?:sharding|horovod_ocr|tests|benchmarks|scripts|docs)/[\w./-]*)`", text_of(page))
    assert not [name for name in named if not (ROOT / name).exists()]


# commands


def setting_options(command: str) -> set[str]:
    """The names of those options that are settings, which docs/settings.md describes."""
    config: type | None = {"train": TrainConfig, "plan": TrainConfig, "shard": ShardOptions, "audit": ShardOptions}.get(
        command
    )
    return set(settings_of(config)) if config else set()


def command_sections() -> dict[str, str]:
    """docs/commands.md: the text below each `## name`."""
    parts = re.split(r"^## `(\w+)`$", text_of(DOCS / "commands.md"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_has_a_section_in_their_order():
    assert list(command_sections()) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_documented(command):
    """Those of a command in its section; those made from settings in docs/settings.md."""
    told = set(re.findall(r"`(-[\w-]+)", command_sections()[command]))
    own = {
        option for option, parameter in options_of(command).items() if parameter.name not in setting_options(command)
    }
    assert own <= told, f"not in the section of {command}: {sorted(own - told)}"
    assert told <= set(options_of(command)), f"{command} has no {sorted(told - set(options_of(command)))}"
    if setting_options(command):
        assert "settings.md" in command_sections()[command]


def command_lines(text: str) -> Iterator[list[str]]:
    """The words behind `horovod-ocr` in each command of a code block or of code within a text."""
    fenced = [
        line
        for block in re.findall(r"^```.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    ]
    indented = re.findall(r"^    (.+)$", without_code(text), re.MULTILINE)
    inline = [code.replace("\n", " ") for code in re.findall(r"`([^`]+)`", without_code(text))]
    for code in (*fenced, *indented, *inline):
        found = re.search(r"(?:^|\brun: |\d |hosts\.txt )horovod-ocr ([a-z].*)", code.split(" # ")[0])
        if found and found[1].split()[0] in COMMANDS:
            words = shlex.shlex(found[1], posix=True, punctuation_chars=";|>")
            words.whitespace_split = True
            yield list(takewhile(lambda word: not re.fullmatch("[;|>]+", word), words))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_typed_option_exists(page):
    for command, *words in command_lines(text_of(page)):
        known = set(options_of(command)) | (set(options_of("train")) if command == "launch" else set())
        unknown = [word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in known]
        assert not unknown, f"horovod-ocr {command} has no {unknown}"


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), flags=re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:`|^    )make ([a-z-]+)", text_of(page), re.MULTILINE)}
    assert named <= targets


# the shard set


def test_every_field_of_the_index_and_the_idx_is_documented():
    page = text_of(DOCS / "shards.md")
    source = text_of(ROOT / "sharding/format/index.py")
    written = re.findall(r'^        "(\w+)": ', source.split("values = {")[1].split("\n    }")[0], flags=re.MULTILINE)
    assert len(written) > 15
    for name in (*written, *IDX_RECORD.names, *inspect.signature(ShardInfo).parameters):
        assert f"`{name}`" in page, name
    assert f"Version {VERSION}." in page and f"uint32, {IDX_VERSION}" in page


def test_every_layout_is_documented_in_their_order():
    table = below(DOCS / "layouts.md", "## The layouts")
    assert [row[0].strip("`") for row in table_rows(table) if row[0].startswith("`")] == list(LAYOUTS)


def test_every_reason_of_a_reject_is_documented_with_its_meaning():
    table = below(DOCS / "shards.md", "### Reasons")
    assert {row[0].strip("`"): row[1] for row in table_rows(table) if row[0].startswith("`")} == REASONS


def test_every_check_is_documented():
    table = below(DOCS / "shards.md", "### Checks")
    told = [row[0].split("`")[1] for row in table_rows(table) if not row[0].startswith("`--check")]
    assert told == list(CHECKS)


def test_the_version_of_checkpoints_is_documented():
    assert f"checkpoints of version {CHECKPOINT_VERSION}" in " ".join(text_of(DOCS / "faults.md").split())


def test_every_number_of_a_log_line_is_documented():
    written = set()
    said_by = [("hooks/log", "write"), ("interval", "summarise")]
    for path, function in (*said_by, ("../tasks/words", "log_values"), ("../tasks/classes", "log_values")):
        tree = ast.parse(text_of(ROOT / "horovod_ocr/training" / f"{path}.py"))
        (body,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == function]
        keys = [key for node in ast.walk(body) if isinstance(node, ast.Dict) for key in node.keys]
        assigned = [target for node in ast.walk(body) if isinstance(node, ast.Assign) for target in node.targets]
        keys += [target.slice for target in assigned if isinstance(target, ast.Subscript)]
        written |= {key.value for key in keys if isinstance(key, ast.Constant)}
    table = below(DOCS / "commands.md", "## `train`").split("| number |")[1]
    assert written - {"passed_s"} == {name for row in table_rows(table) for name in re.findall(r"`(\w+)`", row[0])}


def test_every_benchmark_is_documented():
    named = {row[0].strip("`") for row in table_rows(text_of(DOCS / "performance.md")) if row[0].startswith("`bench")}
    assert named == {f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.py")}


def test_the_lists_that_a_contributor_extends_are_in_their_files():
    text = text_of(ROOT / "CONTRIBUTING.md").split("## How to add")[1]
    found = []
    for item in re.split(r"\n\d\. |\n\n", text):
        for path, told in re.findall(r"`((?:sharding|horovod_ocr)/[\w/]+\.py)`: ([^`]*`\w+`[^.]*)", item):
            names = re.findall(r"`(_?[A-Z][A-Z_]+|build_hooks)`", told)
            assert all(re.search(rf"\b{name}\b", text_of(ROOT / path)) for name in names), (path, names)
            found += names
    assert {"_FINDERS", "MODELS", "TASKS", "FIGURES", "COMMANDS", "build_hooks"} <= set(found)


# architecture


def modules_in_tree() -> list[str]:
    files = [*(ROOT / "sharding").rglob("*.py"), *(ROOT / "horovod_ocr").rglob("*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in files if path.name != "__init__.py")


def modules_in_architecture() -> list[tuple[str, str]]:
    """(path, phrase) of each row below a heading that names a folder."""
    parts = re.split(r"^#+ `([\w/]+)/`$", text_of(DOCS / "architecture.md"), flags=re.MULTILINE)
    return [
        (f"{folder}/{row[0].strip('`')}", row[1])
        for folder, text in zip(parts[1::2], parts[2::2], strict=True)
        for row in table_rows(text)
        if row[0].endswith(".py`")
    ]


def test_architecture_names_every_module_once_with_a_phrase():
    named, there = [path for path, _ in modules_in_architecture()], modules_in_tree()
    assert not {path for path in named if named.count(path) > 1}
    assert set(named) - set(there) == set(), "no such modules"
    assert set(there) - set(named) == set(), "modules without a phrase"
    assert all(len(phrase.split()) > 1 for _, phrase in modules_in_architecture())


def test_architecture_states_the_order_of_the_rooms():
    assert f"in this order: {', '.join(ROOMS)}." in " ".join(text_of(DOCS / "architecture.md").split())


# words


def test_the_glossary_defines_each_word_once():
    words = re.findall(r"^\*\*(.+?)\*\*", text_of(DOCS / "glossary.md"), flags=re.MULTILINE)
    assert len(words) == len(set(words)) > 40 and words == sorted(words, key=str.lower)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_document_speaks_of_the_project_alone(page):
    text = text_of(page)
    assert not re.search(rf"{re.escape(os.sep)}(?:work|home/(?!ann))/|shared/", text)
    assert not [line for line in without_code(text).splitlines() if len(line) > 140 and not line.startswith("|")]
