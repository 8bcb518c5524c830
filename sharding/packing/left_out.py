"""The two lists of what is in no shard, for people: rejects.tsv and duplicates.tsv."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharding.arranging.duplicates import Duplicates
from sharding.format.splits import SPLITS
from sharding.reading.catalogue import Catalogue
from sharding.reading.spool import read_spool, tsv_line
from sharding.system.files import whole_file

REJECTS_NAME = "rejects.tsv"
DUPLICATES_NAME = "duplicates.tsv"
_SORTED_LINES = 1_000_000  # longer lists stay in the order of the source: sorting would take too much memory


class LeftOut(NamedTuple):
    """How many samples the two lists name."""

    rejects: dict[str, int]
    """Reason -> samples."""
    duplicates: dict[str, int]
    """Copies in the "same split" and "across splits", and how many of them were "left out"."""


def write_left_out(out: Path, spools: list[Path], catalogue: Catalogue, duplicates: Duplicates) -> LeftOut:
    """Write both lists into the folder `out`."""
    return LeftOut(
        _write_rejects(out, spools, catalogue, duplicates),
        _write_duplicates(out, catalogue, duplicates),
    )


def _write_rejects(out: Path, spools: list[Path], catalogue: Catalogue, duplicates: Duplicates) -> dict[str, int]:
    """rejects.tsv: path, reason, detail."""
    reasons: Counter[str] = Counter()

    def lines() -> Iterator[bytes]:
        for spool in spools:
            for line in read_spool(spool).rejects.splitlines(keepends=True):
                reasons[line.split(b"\t")[1].decode()] += 1
                yield line
        for path, other in _shown(catalogue, duplicates.conflicts):
            reasons["conflicting labels"] += 1
            yield tsv_line(path, "conflicting labels", b"the same image as " + other)

    _write_lines(out / REJECTS_NAME, b"path\treason\tdetail\n", lines())
    return dict(sorted(reasons.items()))


def _write_duplicates(out: Path, catalogue: Catalogue, duplicates: Duplicates) -> dict[str, int]:
    """duplicates.tsv: path, the copy that stays, and the splits of both."""

    def lines() -> Iterator[bytes]:
        for (path, other), row in zip(_shown(catalogue, duplicates.copies), duplicates.copies, strict=True):
            yield tsv_line(path, other, SPLITS[row["split"]], SPLITS[row["other_split"]])

    _write_lines(out / DUPLICATES_NAME, b"path\tsame as\tsplit\tsplit of the other\n", lines())
    across = duplicates.across_splits
    left_out = len(duplicates.left_out) - len(duplicates.conflicts)
    return {"same split": len(duplicates.copies) - across, "across splits": across, "left out": left_out}


def _shown(catalogue: Catalogue, pairs: NDArray[np.void]) -> Iterator[tuple[bytes, bytes]]:
    """The paths of each pair, as people see them."""
    entries, others = (catalogue.pick(pairs[name].tolist()) for name in ("entry", "other"))
    return ((catalogue.shown(entry), catalogue.shown(other)) for entry, other in zip(entries, others, strict=True))


def _write_lines(path: Path, head: bytes, lines: Iterable[bytes]) -> None:
    """Sorted, so that the file is the same for every order of the source; beyond _SORTED_LINES in the given order."""
    with whole_file(path) as file:
        file.write(head)
        held: list[bytes] | None = []
        for line in lines:
            if held is None:
                file.write(line)
            else:
                held.append(line)
                if len(held) > _SORTED_LINES:
                    file.writelines(held)
                    held = None
        file.writelines(sorted(held or []))
