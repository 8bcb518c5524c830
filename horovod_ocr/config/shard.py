"""The options of `horovod-ocr shard`, laid over each other."""

from pathlib import Path
from typing import Any

from horovod_ocr.config.overlay import checked_values, overlay
from horovod_ocr.config.sources import SETTINGS_FILE, table_of_settings
from sharding.options import ShardOptions

_SPLIT_RULES = {"split", "group_from", "split_lists"}


def load_shard_options(command_line: dict[str, Any], folder: Path = Path(".")) -> ShardOptions:
    """Defaults < horovod-ocr.toml < command line. ConfigError for an unknown key, a value of another type or out of its
    range."""
    shared = shard_table(folder)
    if _SPLIT_RULES & command_line.keys():  # they exclude each other
        shared = {name: value for name, value in shared.items() if name not in _SPLIT_RULES}
    options = overlay(ShardOptions(), shared, f"{folder / SETTINGS_FILE}, [shard]")
    return overlay(options, command_line, "the command line")


def shard_table(folder: Path = Path(".")) -> dict[str, Any]:
    """The table [shard] of horovod-ocr.toml, by the options' own names, of their types. ConfigError as `overlay`."""
    return checked_values(ShardOptions, table_of_settings("shard", folder), f"{folder / SETTINGS_FILE}, [shard]")
