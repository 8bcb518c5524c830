"""What a long job says of itself while it runs."""

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Progress(NamedTuple):
    """stage: "listing", "reading", "writing", "verifying" or "repairing". done of total samples (0: not known yet), of
    shards when they are repaired. read_bytes: read so far in this stage. rejects: reason -> samples so far."""

    stage: str
    done: int
    total: int
    read_bytes: int = 0
    rejects: Mapping[str, int] = {}


Report = Callable[[Progress], None]
