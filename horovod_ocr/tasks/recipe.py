"""The packaged recipe for a shard set. No torch."""

from pathlib import Path
from typing import Any

from horovod_ocr.config.recipe import recipe_names
from horovod_ocr.config.sources import load_config, train_table
from horovod_ocr.config.train import DataConfig, TrainConfig
from horovod_ocr.data.store import read_index_at
from horovod_ocr.errors import ShardError
from sharding.format.index import ShardIndex
from sharding.format.script.letters import PROFILES

LONGEST_WORD = 15  # letters; a set whose labels are mostly longer holds lines


def new_config(
    recipe: str | None, given: dict[str, Any], folder: Path = Path("."), needs_shards: bool = True
) -> TrainConfig:
    """The config of a new run: the recipe that was named, or else the one for its shards, and the settings given.

    needs_shards: raise ShardError if the shards that decide are not there; else take the plain defaults. Raises
    ConfigError for wrong settings.
    """
    if recipe is None:
        try:
            recipe = default_recipe(given.get("shards"), folder)
        except ShardError:
            if needs_shards:
                raise
    return load_config(recipe, given, folder)


def default_recipe(shards: str | None, folder: Path = Path(".")) -> str | None:
    """The recipe of horovod-ocr.toml, else the packaged one for a shard set; None, the plain defaults, if none fits.

    shards: where the set is; None: as horovod-ocr.toml or the defaults say. ConfigError for a wrong [train] table,
    ShardError if there is no set.
    """
    shared = train_table(folder)
    if "recipe" in shared:
        recipe: str | None = shared["recipe"]
        return recipe
    return recipe_for(read_index_at(shards or shared.get("shards", DataConfig.shards)))


def recipe_for(index: ShardIndex) -> str | None:
    """For classes, the recipe of that name. For words, that of their script; if most labels are longer than words, that
    for lines of the script, or else that for lines of any script."""
    if index.kind == "classes":
        return "classes"
    lengths = index.counts.label_lengths
    samples = sum(lengths.values())
    long = sum(count for length, count in lengths.items() if length > LONGEST_WORD)
    # a profile file may have any name, also that of a recipe for something else
    script = index.profile.name if index.profile.name in PROFILES else ""
    if 2 * long > samples:
        return f"{script}-lines" if f"{script}-lines" in recipe_names() else "lines"
    return script if script in recipe_names() else None
