"""What a finished shard set holds: counted from index.json and the .idx files, shown on a terminal and on a page."""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from horovod_ocr.reports.page import BarChart, Figures, Paragraph, Picture, Section, TableOf, build_page
from horovod_ocr.reports.sheet import draw_samples, sheet_png
from horovod_ocr.reports.tally import Tally
from sharding.errors import ShardError
from sharding.format.idx import read_idx
from sharding.format.index import ShardIndex, ShardInfo
from sharding.progress import Progress, Report
from sharding.reasons import REASONS
from sharding.system.files import write_whole

RARE = 20  # a letter or class that train has seen less often is marked
SHEET_SAMPLES = 100
QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)
SIZES = {
    "width": "width, px",
    "height": "height, px",
    "image_size": "image, bytes",
    "label_length": "label, letters",
}


@dataclass(frozen=True)
class SetStats:
    """splits: their names. tallies: field of .idx -> its values over all samples. subsets, buckets, classes: samples,
    int64 [splits, number of the subset, bucket or class]."""

    splits: tuple[str, ...]
    tallies: dict[str, Tally]
    subsets: np.ndarray
    buckets: np.ndarray
    classes: np.ndarray


def count_set(index: ShardIndex, report: Report = lambda record: None) -> SetStats:
    """Read every .idx once, one at a time; of a set of classes also each label. ShardError where one is damaged.

    Memory: the distinct widths, heights and sizes, not the samples.
    """
    splits = tuple(dict.fromkeys(shard.split for shard in index.shards))
    stats = SetStats(
        splits=splits,
        tallies={name: Tally() for name in SIZES if name != "label_length" or index.kind == "words"},
        subsets=np.zeros((len(splits), len(index.subsets)), np.int64),
        buckets=np.zeros((len(splits), len(index.bucket_edges)), np.int64),
        classes=np.zeros((len(splits), len(index.classes)), np.int64),
    )
    total, done = sum(shard.samples for shard in index.shards), 0
    for shard in index.shards:
        report(Progress("reading", done, total))
        records = read_idx(index.idx_path(shard))
        position = splits.index(shard.split)
        for name, tally in stats.tallies.items():
            tally.add(records[name])
        stats.subsets[position] += np.bincount(records["subset"], minlength=len(index.subsets))[: len(index.subsets)]
        stats.buckets[position, shard.bucket] += len(records)
        if index.kind == "classes":
            stats.classes[position] += count_classes(index, shard, records)
        done += len(records)
    report(Progress("reading", done, total))
    return stats


def count_classes(index: ShardIndex, shard: ShardInfo, records: np.ndarray) -> np.ndarray:
    """How often each class stands in a shard, int64 [classes], from the digits of its .cls members."""
    tar = np.memmap(index.tar_path(shard), np.uint8, mode="r")
    numbers = np.zeros(len(records), np.int64)
    ends = records["label_offset"].astype(np.int64) + records["label_size"]
    longest = int(records["label_size"].max(initial=0))
    if longest > 9 or int(ends.max(initial=0)) > len(tar):
        raise ShardError(f"{index.tar_path(shard)} does not hold the labels its .idx names; run: horovod-ocr verify")
    for position in range(longest):
        with_digit = records["label_size"] > position
        digits = tar[records["label_offset"][with_digit].astype(np.int64) + position].astype(np.int64) - ord("0")
        if ((digits < 0) | (digits > 9)).any():
            raise ShardError(f"{index.tar_path(shard)} has a label that is no number; run: horovod-ocr verify")
        numbers[with_digit] = 10 * numbers[with_digit] + digits
    if numbers.max(initial=-1) >= len(index.classes):
        raise ShardError(f"{index.tar_path(shard)} has a class that index.json does not name; run: horovod-ocr verify")
    return np.bincount(numbers, minlength=len(index.classes))


def write_page(index: ShardIndex, sections: Sequence[Section], path: Path) -> None:
    """The sections and a contact sheet as one HTML file. OSError where it cannot be written."""
    samples = draw_samples(index, SHEET_SAMPLES, seed=0)
    sheet = Picture(sheet_png(samples), f"{len(samples)} samples, drawn by lot over all splits")
    page = build_page(f"Shards in {index.root}", [*sections, Section("Samples", [sheet])])
    write_whole(path, page.encode("utf-8", "backslashreplace"))


def stats_sections(index: ShardIndex, stats: SetStats) -> list[Section]:
    """The sections of the report, for a page and for a terminal."""
    parts = {
        "Splits": splits_part(index),
        "Sizes": sizes_part(stats),
        "Letters": letters_part(index),
        "Classes": classes_part(index, stats),
        "Buckets": buckets_part(index, stats),
        "Subsets": subsets_part(index, stats),
        "Left out and repeated": rejects_part(index),
        "Made with": options_part(index),
    }
    figures = [
        ("samples", f"{sum(index.counts.totals.values()):,}"),
        ("shards", f"{len(index.shards):,}"),
        ("bytes", megabytes(sum(shard.bytes for shard in index.shards))),
        ("kind", index.kind),
        ("profile", f"{index.profile.name} ({index.profile.direction})"),
        ("letters", f"{len(index.alphabet):,}") if index.kind == "words" else ("classes", f"{len(index.classes):,}"),
        ("digest", index.digest[:16]),
    ]
    return [Section("The set", [Figures(figures)]), *(Section(name, part) for name, part in parts.items() if part)]


def splits_part(index: ShardIndex) -> list:
    total = sum(index.counts.totals.values()) or 1
    rows = []
    for split, samples in index.counts.totals.items():
        shards = index.of(split)
        rows.append((split, samples, f"{samples / total:.1%}", len(shards), sum(s.bytes for s in shards) / 1e6))
    return [TableOf(("split", "samples", "share", "shards", "MB"), rows)]


def sizes_part(stats: SetStats) -> list:
    tallies = {SIZES[name]: tally for name, tally in stats.tallies.items() if tally.total}
    rows = [(what, *(tally.quantile(q) for q in QUANTILES), f"{tally.mean:,.1f}") for what, tally in tallies.items()]
    head = ("", "least", "1 %", "25 %", "median", "75 %", "99 %", "most", "mean")
    charts = [BarChart(*tally.histogram(), caption=f"samples by {what}") for what, tally in tallies.items()]
    return [TableOf(head, rows), *charts] if rows else []


def letters_part(index: ShardIndex) -> list:
    remarks = {letter: remark_on(count) for letter, count in index.alphabet.items()}
    rows = [
        (visible(letter), f"U+{ord(letter[0]):04X}", name_of(letter), remarks[letter], count)
        for letter, count in index.alphabet.items()
    ]
    marked = frozenset(position for position, remark in enumerate(remarks.values()) if remark)
    rare = [letter for letter, remark in remarks.items() if remark]
    told = f"{len(rare)} rare: {' '.join(map(visible, rare))}" if rare else f"each {RARE} times or more in train"
    table = TableOf(("letter", "code point", "name", "", "in train"), rows, marked, bars=4)
    return [Paragraph(f"{len(rows):,} letters, {told}"), table] if rows else []


def classes_part(index: ShardIndex, stats: SetStats) -> list:
    counts = stats.classes[stats.splits.index("train")] if "train" in stats.splits else stats.classes.sum(axis=0)
    rows = by_split(index.classes, stats.splits, stats.classes)
    marked = frozenset(position for position, count in enumerate(counts) if count < RARE)
    rows = [(*row, remark_on(int(count))) for row, count in zip(rows, counts, strict=True)]
    return [TableOf(("class", "samples", *stats.splits, ""), rows, marked, bars=1)] if rows else []


def buckets_part(index: ShardIndex, stats: SetStats) -> list:
    names = [f"up to {edge:.2f}" for edge in index.bucket_edges]
    rows = by_split(names, stats.splits, stats.buckets)
    return [TableOf(("width / height", "samples", *stats.splits), rows, bars=1)]


def subsets_part(index: ShardIndex, stats: SetStats) -> list:
    if len(index.subsets) < 2:
        return []
    rows = by_split([name or "without" for name in index.subsets], stats.splits, stats.subsets)
    return [TableOf(("subset", "samples", *stats.splits), [row for row in rows if row[1]], bars=1)]


def rejects_part(index: ShardIndex) -> list:
    rejects = sorted(index.counts.rejects.items(), key=lambda item: (-item[1], item[0]))
    rows = [(reason, count, REASONS.get(reason, "")) for reason, count in rejects]
    parts: list = [TableOf(("rejected", "samples", "why"), rows, bars=1)] if rows else [Paragraph("none rejected")]
    if any(index.counts.duplicates.values()):
        parts.append(TableOf(("copies of an image", "samples"), list(index.counts.duplicates.items())))
    else:
        parts.append(Paragraph("no image occurs twice"))
    return parts


def options_part(index: ShardIndex) -> list:
    own = {"profile_file": f"{len(index.profile.letters):,} letters; own folds: {len(index.profile.own_folds):,}"}
    asked, decided = index.options.get("asked", {}), index.options | {"asked": None}
    shown = {name: value for name, value in (asked | decided).items() if name != "asked"}
    shown |= own if index.options.get("profile_file") else {}
    rows = [(name, plainly(value)) for name, value in shown.items()]
    return [TableOf(("option", "value"), rows)] if rows else []


def by_split(names: Sequence[str], splits: Sequence[str], counts: np.ndarray) -> list[tuple]:
    """A row a name: itself, samples of all splits, samples of each. counts: [splits, names]."""
    return [
        (name, int(counts[:, position].sum()), *map(int, counts[:, position])) for position, name in enumerate(names)
    ]


def remark_on(count: int) -> str:
    """Of a letter or class by how often it stands in train."""
    if count >= RARE:
        return ""
    return "rare" if count else "not in train"


def visible(letter: str) -> str:
    """A mark on a dotted circle, a space as a sign, what nobody can see as its code point."""
    if letter.isspace():
        return "␣"
    if len(letter) == 1 and not letter.isprintable():
        return f"U+{ord(letter):04X}"
    return f"◌{letter}" if unicodedata.category(letter[0]).startswith("M") else letter


def name_of(letter: str) -> str:
    return unicodedata.name(letter[0], "without a name").lower()


def megabytes(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def plainly(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
