"""docs/settings.md says what the settings of the code are."""

import functools
import inspect
import math
import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args, get_origin

import pytest

from horovod_ocr.config.overlay import RANGES, Setting, settings_of
from horovod_ocr.config.recipe import recipe_names
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.augment.strengths import Augmentation
from horovod_ocr.models.build import FIXED, MODELS
from sharding.options import ShardOptions
from tests.unit.docs.pages import DOCS, below, options_of, table_rows, text_of

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
    parts = re.split(r"^### (`\w+`.*)$", below(DOCS / "settings.md", "## Models"), flags=re.MULTILINE)
    told = {
        name: {row[0].strip("`"): row[1] for row in table_rows(text) if row[0] != "option"}
        for names, text in zip(parts[1::2], parts[2::2], strict=True)
        for name in re.findall(r"\w+", names)
    }
    assert told == {
        name: {
            option: str(parameter.default).lower()
            for option, parameter in inspect.signature(model).parameters.items()
            if option not in FIXED
        }
        for name, model in MODELS.items()
    }


def names_below(heading: str) -> list[str]:
    """The first cells, in code, of the table below a heading of docs/settings.md."""
    return [row[0].strip("`") for row in table_rows(below(DOCS / "settings.md", heading)) if row[0].startswith("`")]
