"""The packaged recipe for a shard set. No torch."""

from pathlib import Path

from horovod_ocr.config.recipe import recipe_names
from horovod_ocr.config.sources import train_table
from horovod_ocr.config.train import DataConfig
from horovod_ocr.data.store import read_index_at
from sharding.format.index import ShardIndex
from sharding.format.script.letters import PROFILES

LONGEST_WORD = 15  # letters; a set whose labels are mostly longer holds lines


def default_recipe(shards: str | None, folder: Path = Path(".")) -> str | None:
    """The recipe of horovod-ocr.toml, else the packaged one for a shard set; None, the plain defaults, if none fits.

    shards: where the set is; None: where horovod-ocr.toml or the defaults say. ShardError if there is none.
    """
    shared = train_table(folder)
    if "recipe" in shared:
        recipe: str = shared["recipe"]
        return recipe
    return recipe_for(read_index_at(shards or shared.get("shards", DataConfig.shards)))


def recipe_for(index: ShardIndex) -> str | None:
    """For words, the recipe of their script. If most labels are longer than words, that for lines of the script, or
    else that for lines of any script."""
    lengths = index.counts.label_lengths
    samples = sum(lengths.values())
    long = sum(count for length, count in lengths.items() if length > LONGEST_WORD)
    # a profile file may have any name, also that of a recipe for something else
    script = index.profile.name if index.profile.name in PROFILES else ""
    if 2 * long > samples:
        return f"{script}-lines" if f"{script}-lines" in recipe_names() else "lines"
    return script if script in recipe_names() else None
