"""Recipes: settings in a TOML file, packaged (recipes/) or of a person."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from horovod_ocr.config.overlay import flatten
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import ConfigError
from sharding.system.files import read_settings_text


def recipe_names() -> list[str]:
    folder = resources.files("horovod_ocr") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_recipe(name: str) -> dict[str, Any]:
    """A packaged recipe by name, or any TOML file by path. ConfigError for one that cannot be read, or names an
    engine."""
    if name.endswith(".toml"):
        values = read_toml(Path(name))
        if list(values) == ["train"] and isinstance(values["train"], dict):  # as in horovod-ocr.toml
            values = values["train"]
        if "engine" in flatten(TrainConfig, values, f"recipe {name}"):
            raise ConfigError(
                f"recipe {name} names an engine, but ranks have met when it is read; give --engine, or set it in "
                "horovod-ocr.toml"
            )
        return values
    if name not in recipe_names():
        raise ConfigError(f"no recipe {name!r}; there are: {', '.join(recipe_names())}, or give a .toml file")
    return tomllib.loads((resources.files("horovod_ocr") / "recipes" / f"{name}.toml").read_text("utf-8"))


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file. ConfigError if it cannot be read."""
    try:
        return tomllib.loads(read_settings_text(path))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {path}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:  # also for a number of thousands of digits, and for lists in lists
        raise ConfigError(f"{path}: not TOML: {str(error)[:200]}") from error
