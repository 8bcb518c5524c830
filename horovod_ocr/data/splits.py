"""Which split to read if a set lacks one, and how to get it. No torch."""

from sharding.format.index import ShardIndex


def divide_command(kind: str) -> str:
    """The commands that shard the same images again into another folder, with three splits, and train on them. Images
    of classes are often near-copies, such as those of one patient, which no split by file keeps together.

    kind: of the set, "words" or "classes".
    """
    by = "--group-from REGEX" if kind == "classes" else "--split label"
    alone = " (if no images belong together: --split file instead of --group-from REGEX)" if kind == "classes" else ""
    return (
        f"horovod-ocr shard {by} --fractions 0.8,0.1,0.1 --out NEW_FOLDER; horovod-ocr train --shards NEW_FOLDER{alone}"
    )


def unseen_split(index: ShardIndex) -> str | None:
    """The split that a run is scored on: test, or else val; None if the set has only a train split."""
    return next((split for split in ("test", "val") if index.counts.totals.get(split)), None)


def empty_split(index: ShardIndex, split: str) -> str:
    """A sentence for users: the wanted split is empty, and what to do."""
    held = ", ".join(f"{name} {count:,}" for name, count in index.counts.totals.items() if count) or "nothing"
    others = [name for name, count in index.counts.totals.items() if count]
    read_other = f"read another with --split {others[-1]}, or " if split != "train" and others else ""
    return (
        f"{index.root}: the {split} split holds no sample (there is: {held}); {read_other}give images of it, or divide "
        f"those there are: {divide_command(index.kind)}"
    )
