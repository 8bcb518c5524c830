"""The samples of a set by size, class, bucket and subset: parts that the pages of stats and audit share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from horovod_ocr.reports.page import BarChart, Cell, Part, TableOf
from sharding.audit.set_stats import RARE_BELOW, SetStats
from sharding.format.script.profile import ScriptProfile

QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)
SIZE_TITLES = {
    "width": "width, px",
    "height": "height, px",
    "image_size": "image, bytes",
    "label_length": "label, letters",
}


def kind_figures(profile: ScriptProfile, classes: Sequence[str], letters: int) -> list[tuple[str, str]]:
    """The key figures of words, or of classes, which have no profile."""
    if classes:
        return [("classes", f"{len(classes):,}")]
    return [("profile", f"{profile.name} ({profile.direction})"), ("letters", f"{letters:,}")]


def sizes_part(stats: SetStats) -> list[Part]:
    sizes = {SIZE_TITLES[name]: histogram for name, histogram in stats.sizes.items() if histogram.total}
    rows: list[tuple[Cell, ...]] = [
        (what, *(each.quantile(q) for q in QUANTILES), f"{each.mean:,.1f}") for what, each in sizes.items()
    ]
    head = ("", "least", "1 %", "25 %", "median", "75 %", "99 %", "most", "mean")
    charts = [BarChart(*histogram.bars(), caption=f"samples by {what}") for what, histogram in sizes.items()]
    return [TableOf(head, rows), *charts] if rows else []


def classes_part(names: Sequence[str], stats: SetStats) -> list[Part]:
    """Nothing for words, and for a set that does not say how many samples each class has."""
    if not stats.classes.size:
        return []
    in_train = stats.classes_in_train
    marked = frozenset(position for position, count in enumerate(in_train) if count < RARE_BELOW)
    rows = [
        (*row, rarity_of(int(count)))
        for row, count in zip(rows_by_split(names, stats.splits, stats.classes), in_train, strict=True)
    ]
    return [TableOf(("class", "samples", *stats.splits, ""), rows, marked, bars=1)]


def buckets_part(edges: Sequence[float], stats: SetStats) -> list[Part]:
    rows = rows_by_split([f"up to {edge:.2f}" for edge in edges], stats.splits, stats.buckets)
    return [TableOf(("width / height", "samples", *stats.splits), rows, bars=1)]


def subsets_part(names: Sequence[str], stats: SetStats) -> list[Part]:
    """Nothing if there is only one."""
    if len(names) < 2:
        return []
    rows = rows_by_split([name or "without" for name in names], stats.splits, stats.subsets)
    return [TableOf(("subset", "samples", *stats.splits), [row for row in rows if row[1]], bars=1)]


def rows_by_split(names: Sequence[str], splits: Sequence[str], counts: NDArray[np.int64]) -> list[tuple[Cell, ...]]:
    """A row for each name: the name, its samples in all splits, and in each split. counts: [splits, names]."""
    return [(name, int(counts[:, n].sum()), *map(int, counts[:, n])) for n, name in enumerate(names)]


def rarity_of(count: int) -> str:
    """A remark on a letter or class that occurs `count` times in train; empty if that is often enough."""
    if count >= RARE_BELOW:
        return ""
    return "rare" if count else "not in train"
