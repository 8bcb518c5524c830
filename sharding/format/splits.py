"""The splits of a shard set, and how its shards are named after them."""

import re

SPLITS = ("train", "val", "test")
SHARD_FILE = re.compile(rf"(?P<name>(?:{'|'.join(SPLITS)})-[0-9]{{6,}})\.(?:tar|idx)")


def shard_name(split: str, number: int) -> str:
    """The name of a shard without its suffix, such as `train-000042`."""
    return f"{split}-{number:06d}"
