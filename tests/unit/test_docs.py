"""The documents say what the code is: modules, commands, options, settings, links, errors."""

import ast
import builtins
import functools
import importlib
import inspect
import math
import os
import pkgutil
import re
import shlex
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import pytest
import typer

import horovod_ocr
import sharding
from horovod_ocr.checkpoint.schema import VERSION as CHECKPOINT_VERSION
from horovod_ocr.cli.main import COMMANDS, app
from horovod_ocr.config.overlay import RANGES, Setting, settings_of
from horovod_ocr.config.recipe import recipe_names
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.augment.strengths import Augmentation
from horovod_ocr.models.build import MODELS
from sharding.errors import OcrError
from sharding.format.idx import IDX_RECORD, IDX_VERSION
from sharding.format.index import VERSION, ShardInfo
from sharding.images.read import CHECKS
from sharding.layouts.find import LAYOUTS
from sharding.options import ShardOptions
from sharding.reasons import REASONS
from tests.unit.test_architecture import ROOMS

ROOT = Path(__file__).parents[2]
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


@functools.cache
def options_of(command: str) -> dict[str, Any]:
    """Each option as it is typed -> what typer holds of it. Without --help."""
    found = {}
    for parameter in typer.main.get_command(app).commands[command].params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            found |= dict.fromkeys([*parameter.opts, *parameter.secondary_opts], parameter)
    return found


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


# settings

TABLES = {"train": TrainConfig, "train.augmentation": Augmentation, "shard": ShardOptions}


class Row(NamedTuple):
    """A setting as docs/settings.md has it."""

    name: str
    option: str
    values: str
    default: str


def written_default(setting: Setting, value: object) -> str:
    """As a person would write it in a TOML file; of a setting that is not given, what its docstring says of that."""
    if value is None:
        told = re.search(r"\[default: (.+)\]", setting.help)
        return told[1] if told else "not given"
    if is_dataclass(value):
        return "the table"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{value}`"


def written_values(setting: Setting) -> str:
    """Its type, its choices or its range."""
    kind = setting.types[0]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        return "folders" if kinds[0] is Path else f"{len(kinds)} numbers"
    if is_dataclass(kind):
        return "table"
    names = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "folder", dict: "table"}
    ends = [
        f"{RANGES[type(note)][0]} {shown_end(getattr(note, RANGES[type(note)][1]))}"
        for note in setting.notes
        if type(note) in RANGES
    ]
    return " ".join([names[get_origin(kind) or kind], *([" and ".join(ends)] if ends else [])])


def shown_end(value: float) -> str:
    power = math.log2(value) if value > 1e9 else 0.5
    return f"2^{int(power)}" if power.is_integer() else f"{value:,.15g}"


def typed_option(command: str, name: str) -> str:
    """The option of the command, or that of all settings of train."""
    option = f"--{name.replace('_', '-')}"
    return f"`{option}`" if option in options_of(command) else "`--set`"


def table_name(command: str, setting: Setting) -> str:
    return f"{command}.{setting.table}" if setting.table else command


@functools.cache
def settings_of_code() -> dict[str, list[Row]]:
    """Table -> its settings, as the code has them."""
    tables: dict[str, list[Row]] = {}
    for table, config in TABLES.items():
        command = table.split(".")[0]
        for name, setting in settings_of(config).items():
            value = setting.of(config())
            option = typed_option(command, name) if table == command else "`--set`"
            tables.setdefault(table_name(table, setting), []).append(
                Row(f"`{name}`", option, written_values(setting), written_default(setting, value))
            )
    return tables


@functools.cache
def settings_of_docs() -> dict[str, list[Row]]:
    parts = re.split(r"^### `\[([\w.]+)\]`$", text_of(DOCS / "settings.md"), flags=re.MULTILINE)
    return {
        table: [Row(*row[:4]) for row in table_rows(text.split("\n## ")[0]) if len(row) == 5 and row[0] != "setting"]
        for table, text in zip(parts[1::2], parts[2::2], strict=True)
    }


@pytest.mark.parametrize("table", settings_of_code())
def test_every_setting_is_documented_with_its_values_and_default(table):
    assert settings_of_docs()[table] == settings_of_code()[table]


def test_no_other_table_of_settings_is_documented():
    assert settings_of_docs().keys() == settings_of_code().keys()


def test_every_setting_has_a_meaning():
    rows = [row for row in table_rows(text_of(DOCS / "settings.md")) if len(row) == 5]
    assert all(len(row[4]) > 5 for row in rows[1:] if row[0] != "setting")


def meanings_of_docs() -> dict[tuple[str, str], str]:
    """(command, setting) -> what docs/settings.md says of it, as plain text; a link ends it."""
    parts = re.split(r"^### `\[(\w+)[\w.]*\]`$", text_of(DOCS / "settings.md"), flags=re.MULTILINE)
    return {
        (command, row[0].strip("`")): re.sub(r"[;:,]? *(see |one of the )?\[.*", "", row[4]).replace("`", "")
        for command, text in zip(parts[1::2], parts[2::2], strict=True)
        for row in table_rows(text.split("\n## ")[0])
        if len(row) == 5
    }


@pytest.mark.parametrize("command", ["train", "shard"])
def test_help_says_of_each_setting_what_its_row_says(command):
    told = meanings_of_docs()
    for name, setting in settings_of(TABLES[command]).items():
        said = setting.help.split(" [default:")[0].replace("`", "")
        assert (
            said == told[command, name]
            or not told[command, name].endswith(".")
            and (said.startswith(told[command, name]))
        ), name


def test_what_0_means_is_documented_for_every_setting_that_may_be_absent():
    told = " ".join(row[0] for row in table_rows(below(DOCS / "settings.md", "### 0 and empty texts")))
    may_be_absent = {
        name
        for config in (TrainConfig, ShardOptions)
        for name, setting in settings_of(config).items()
        if setting.may_be_none
    }
    assert set(re.findall(r"`(\w+)`", told)) - {"train", "shard"} == may_be_absent


def test_every_recipe_is_documented():
    assert sorted(names_below("## Recipes")) == recipe_names()


def test_every_option_of_every_model_is_documented_with_its_default():
    text = below(DOCS / "settings.md", "## Models")
    told = {row[0].strip("`"): row[1] for row in table_rows(text)}
    for name, model in MODELS.items():
        assert f"`{name}`" in text
        for option, parameter in inspect.signature(model).parameters.items():
            if option not in ("outputs", "height"):
                assert told[option] == str(parameter.default).lower()


def names_below(heading: str) -> list[str]:
    """The first cells, in code, of the table below a heading of docs/settings.md."""
    return [row[0].strip("`") for row in table_rows(below(DOCS / "settings.md", heading)) if row[0].startswith("`")]


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
    for path, function in (("hooks/log", "write"), ("interval", "summarise"), ("../tasks/words", "log_values")):
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


# errors


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


# fields


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


# words


def test_the_glossary_defines_each_word_once():
    words = re.findall(r"^\*\*(.+?)\*\*", text_of(DOCS / "glossary.md"), flags=re.MULTILINE)
    assert len(words) == len(set(words)) > 40 and words == sorted(words, key=str.lower)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_document_speaks_of_the_project_alone(page):
    text = text_of(page)
    assert not re.search(rf"{re.escape(os.sep)}(?:work|home/(?!ann))/|shared/", text)
    assert not [line for line in without_code(text).splitlines() if len(line) > 140 and not line.startswith("|")]
