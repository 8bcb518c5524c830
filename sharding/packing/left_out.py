"""The two lists of what is in no shard, for people: rejects.tsv and duplicates.tsv."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from sharding.arranging.duplicates import Duplicates
from sharding.reading.catalogue import Catalogue
from sharding.reading.split import SPLITS
from sharding.reading.spool import read_spool, tsv_line
from sharding.system.files import whole_file

REJECTS_NAME = "rejects.tsv"
DUPLICATES_NAME = "duplicates.tsv"
_SORTED_LINES = 1_000_000  # more of them than this stay in the order of the source: sorting would take the memory


def write_rejects(out: Path, spools: list[Path], catalogue: Catalogue, duplicates: Duplicates) -> dict[str, int]:
    """rejects.tsv: path, reason, detail. Returns reason -> samples."""
    reasons: Counter[str] = Counter()

    def lines() -> Iterator[bytes]:
        for spool in spools:
            for line in read_spool(spool).rejects.splitlines(keepends=True):
                reasons[line.split(b"\t")[1].decode()] += 1
                yield line
        for path, other in _named(catalogue, duplicates.conflicts):
            reasons["conflicting labels"] += 1
            yield tsv_line(path, "conflicting labels", b"the same image as " + other)

    _write_lines(out / REJECTS_NAME, b"path\treason\tdetail\n", lines())
    return dict(sorted(reasons.items()))


def write_duplicates(out: Path, catalogue: Catalogue, duplicates: Duplicates) -> dict[str, int]:
    """duplicates.tsv: path, the copy that stays, and their splits. Returns how many stand in the same split, how many
    in another one, and how many were left out."""

    def lines() -> Iterator[bytes]:
        for (path, other), row in zip(_named(catalogue, duplicates.copies), duplicates.copies, strict=True):
            yield tsv_line(path, other, SPLITS[row["split"]], SPLITS[row["other_split"]])

    _write_lines(out / DUPLICATES_NAME, b"path\tsame as\tsplit\tsplit of the other\n", lines())
    across = duplicates.across_splits
    left_out = len(duplicates.left_out) - len(duplicates.conflicts)
    return {"same split": len(duplicates.copies) - across, "across splits": across, "left out": left_out}


def _named(catalogue: Catalogue, pairs: np.ndarray) -> Iterator[tuple[bytes, bytes]]:
    entries, others = (catalogue.pick(pairs[name].tolist()) for name in ("entry", "other"))
    return ((catalogue.shown(entry), catalogue.shown(other)) for entry, other in zip(entries, others, strict=True))


def _write_lines(path: Path, head: bytes, lines: Iterable[bytes]) -> None:
    """Sorted, so that they are the same for every order of the source; beyond _SORTED_LINES as they come."""
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
