"""What to read where a set misses a split, and how to get one. No torch."""

from sharding.format.index import ShardIndex


def divide_command(kind: str) -> str:
    """Shards the same images again into another folder, with three splits, whatever splits the source gives. kind: of
    the set."""
    shard = f"horovod-ocr shard --split {'file' if kind == 'classes' else 'label'} --fractions 0.8,0.1,0.1"
    return f"{shard} --out NEW_FOLDER" + ("" if kind == "classes" else "; horovod-ocr train --shards NEW_FOLDER")


def unseen_split(index: ShardIndex) -> str:
    """The split that a run is scored on: test, or val where there is none; "" for a set of train alone."""
    return next((split for split in ("test", "val") if index.totals.get(split)), "")


def empty_split(index: ShardIndex, split: str) -> str:
    """A sentence: a split that is wanted holds nothing, and what to do."""
    held = ", ".join(f"{name} {count:,}" for name, count in index.totals.items() if count) or "nothing"
    others = [name for name, count in index.totals.items() if count]
    read_other = f"read another with --split {others[-1]}, or " if split != "train" and others else ""
    return (
        f"{index.root}: the {split} split holds no sample (there is: {held}); {read_other}give images of it, or divide "
        f"those there are: {divide_command(index.kind)}"
    )
