"""What --group-from has found, for a person to compare with what belongs together."""

from collections import Counter
from contextlib import suppress

from sharding.reading.catalogue import Catalogue
from sharding.reading.split import SplitRule
from sharding.reasons import Rejected

_MOST = 100_000  # entries that are looked at


def notes_on_groups(catalogue: Catalogue, pattern: str) -> tuple[str, ...]:
    """How many groups there are and how large the largest is; and that they keep nothing together, if so."""
    rule, found = SplitRule("group", pattern=pattern), Counter[str]()
    entries = catalogue.read(0, min(catalogue.entries, _MOST))
    for entry in entries:
        if not entry.problem:
            with suppress(Rejected):
                found[rule.group_of(entry.path)] += 1
    images = found.total()
    if images < 2:
        return ()
    part = "" if len(entries) == catalogue.entries else f" (of the first {len(entries):,} entries)"
    ((largest, most),) = found.most_common(1)
    counts = f"{len(found):,} groups in {images:,} images{part}, the largest, {ascii(largest)}, of {most:,}"
    if len(found) < images:
        return (counts,)
    return (
        f"{counts}: each image is a group of its own, so images of one patient, writer or page may be in two splits; "
        "the pattern should find what they share, and another pattern needs another --out",
    )
