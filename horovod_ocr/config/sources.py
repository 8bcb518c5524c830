"""Where settings come from: defaults < recipe < horovod-ocr.toml in the working folder < command line."""

import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from horovod_ocr.config.overlay import checked_values, flatten
from horovod_ocr.config.recipe import read_recipe, read_toml
from horovod_ocr.config.train import TrainConfig, check_config, lay_over
from horovod_ocr.errors import ConfigError

SETTINGS_FILE = "horovod-ocr.toml"
TABLES = ("shard", "train")


def load_config(recipe: str | None, command_line: dict[str, Any], folder: Path = Path(".")) -> TrainConfig:
    """Lay the four sources over each other. ConfigError names the file and the nearest key for an unknown one."""
    shared = train_table(folder)
    recipe = recipe or shared.get("recipe")
    config = lay_over(TrainConfig(), read_recipe(recipe) if recipe else {}, f"recipe {recipe}")
    config = lay_over(config, shared, f"{folder / SETTINGS_FILE}, [train]")
    return check_config(lay_over(replace(config, recipe=recipe), command_line, "the command line"))


def parse_settings(assignments: list[str]) -> dict[str, Any]:
    """`NAME=VALUE` of the command line, the value as TOML or else as text; `a.b=1` goes into table a.

    ConfigError for what is given twice with other values.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: write it as NAME=VALUE")
        value: Any = parse_value(text)
        for name in reversed(key.strip().split(".")):
            value = {name: value}
        merge(values, value, f"--set {assignment}")
    return values


def parse_value(text: str) -> Any:
    """A value of TOML; any other text is itself."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def merge(values: dict[str, Any], more: dict[str, Any], source: str) -> None:
    """Put settings in tables beside those that are there."""
    for name, value in more.items():
        if name not in values:
            values[name] = value
        elif isinstance(before := values[name], dict) and isinstance(value, dict):
            merge(before, value, source)
        elif before != value:
            raise ConfigError(f"{source}: {name} is given before, as {before!r}")


def with_settings(given: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Named options and `--set` as one, by the settings' own names, of the settings' types. ConfigError as `overlay`,
    and for a setting that both give, with other values."""
    values = flatten(TrainConfig, parse_settings(assignments), "--set")
    for name in given.keys() & values.keys():
        if given[name] != values[name]:
            raise ConfigError(f"{name} is given twice: {given[name]!r}, and {values[name]!r} with --set")
    values = given | values
    if "epochs" in values and "steps" not in values:
        values = {"steps": 0, "min_steps": 0} | values  # else a recipe's steps would count, and not these epochs
    return checked_values(TrainConfig, values, "the command line")


def table_of_settings(command: str, folder: Path = Path(".")) -> dict[str, Any]:
    """A command's table in horovod-ocr.toml; empty if there is none. ConfigError for a table that no command has."""
    path = folder / SETTINGS_FILE
    tables = read_toml(path) if os.path.lexists(path) else {}  # a link to nowhere is an error, and not the defaults
    for name, table in tables.items():
        if name not in TABLES or not isinstance(table, dict):
            raise ConfigError(f"{path}: {name!r} is not a table of settings; there are: [{'], ['.join(TABLES)}]")
    given: dict[str, Any] = tables.get(command, {})
    return given


def train_table(folder: Path = Path(".")) -> dict[str, Any]:
    """The table [train] of horovod-ocr.toml, by the settings' own names, of their types. ConfigError as `overlay`."""
    return checked_values(TrainConfig, table_of_settings("train", folder), f"{folder / SETTINGS_FILE}, [train]")
