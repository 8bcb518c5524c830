"""What a long job reports while it runs."""

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Progress(NamedTuple):
    """How far a job is."""

    stage: str
    """"listing", "reading", "writing", "verifying" or "repairing"."""
    done: int
    """Samples done in this stage; shards when they are repaired."""
    total: int
    """Of how many; 0: not known yet."""
    read_bytes: int = 0
    """Bytes read or written so far in this stage."""
    rejects: Mapping[str, int] = {}
    """Reason -> samples so far."""


Report = Callable[[Progress], None]
