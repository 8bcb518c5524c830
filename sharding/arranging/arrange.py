"""All that is decided over the set as a whole: what is left out, and which sample goes into which shard."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sharding.arranging.assign import Assignment, assign
from sharding.arranging.duplicates import Duplicates, count_samples, find_duplicates
from sharding.reading.intake import SourceRead

PLACED_NAME = "placed.bin"


class Arrangement(NamedTuple):
    """What was decided."""

    duplicates: Duplicates
    """The samples whose image occurs more than once, and which of them stay out."""
    assignment: Assignment | None
    """None if no sample is left."""


def arrange(
    read: SourceRead,
    leave_out_copies: bool,
    samples_per_shard: int | None,
    spool: Path,
    members: Path,
    class_hashes: Sequence[int] = (),
) -> Arrangement:
    """Decide over all samples that were read. Writes placed.bin into the folder `spool`, and `members` (assign.py).

    class_hashes: `Rules.class_hashes`.
    """
    counts, repeated = count_samples(read.spools, read.samples)
    duplicates = find_duplicates(read.spools, repeated, leave_out_copies)
    for pairs in (duplicates.conflicts, *([duplicates.copies] if leave_out_copies else [])):
        np.subtract.at(counts, (pairs["split"], pairs["cell"]), 1)
    if not counts.any():
        return Arrangement(duplicates, None)
    placed = spool / PLACED_NAME
    assignment = assign(read.spools, counts, duplicates, samples_per_shard, placed, members, class_hashes)
    return Arrangement(duplicates, assignment)
