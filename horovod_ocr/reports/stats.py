"""The report on a finished shard set: from index.json and what was counted in its .idx files."""

import json
from collections.abc import Sequence
from pathlib import Path

from horovod_ocr.console import size_text
from horovod_ocr.data.samples import draw_samples
from horovod_ocr.reports.letter_names import code_point, letter_name, visible
from horovod_ocr.reports.page import Figures, Paragraph, Part, Picture, Section, TableOf, write_page
from horovod_ocr.reports.set_parts import buckets_part, classes_part, kind_figures, rarity_of, sizes_part, subsets_part
from horovod_ocr.reports.sheet import sheet_png
from sharding.audit.set_stats import RARE_BELOW, SetStats
from sharding.counts import by_count
from sharding.format.index import ShardIndex
from sharding.reasons import REASONS

SHEET_SAMPLES = 100


def write_stats_page(index: ShardIndex, sections: Sequence[Section], path: Path) -> None:
    """The sections and a contact sheet as one HTML file. OSError if it cannot be written."""
    samples = draw_samples(index, SHEET_SAMPLES, seed=0)
    sheet = Picture(sheet_png(samples), f"{len(samples)} samples, drawn by lot over all splits")
    write_page(f"Shards in {index.root}", [*sections, Section("Samples", [sheet])], path)


def stats_sections(index: ShardIndex, stats: SetStats) -> list[Section]:
    """The sections of the report, for a page and for a terminal."""
    parts = {
        "Splits": splits_part(index),
        "Sizes": sizes_part(stats),
        "Letters": alphabet_part(index),
        "Classes": classes_part(index.classes, stats),
        "Buckets": buckets_part(index.bucket_edges, stats),
        "Subsets": subsets_part(index.subsets, stats),
        "Left out and repeated": left_out_part(index),
        "Made with": options_part(index),
    }
    figures = [
        ("samples", f"{sum(index.counts.totals.values()):,}"),
        ("shards", f"{len(index.shards):,}"),
        ("bytes", size_text(sum(shard.bytes for shard in index.shards))),
        ("kind", index.kind),
        *kind_figures(index.profile, index.classes, len(index.alphabet)),
        ("digest", index.digest[:16]),
    ]
    return [Section("The set", [Figures(figures)]), *(Section(name, part) for name, part in parts.items() if part)]


def splits_part(index: ShardIndex) -> list[Part]:
    total = sum(index.counts.totals.values()) or 1
    rows = []
    for split, samples in index.counts.totals.items():
        shards = index.of(split)
        rows.append((split, samples, f"{samples / total:.1%}", len(shards), sum(s.bytes for s in shards) / 1e6))
    return [TableOf(("split", "samples", "share", "shards", "MB"), rows)]


def alphabet_part(index: ShardIndex) -> list[Part]:
    """The letters of a set of words, the rare ones marked."""
    if not index.alphabet:
        return []
    remarks = {letter: rarity_of(count) for letter, count in index.alphabet.items()}
    rows = [
        (visible(letter), code_point(letter), letter_name(letter), remarks[letter], count)
        for letter, count in index.alphabet.items()
    ]
    marked = frozenset(position for position, remark in enumerate(remarks.values()) if remark)
    rare = [visible(letter) for letter, remark in remarks.items() if remark]
    summary = f"{len(rare)} rare: {' '.join(rare)}" if rare else f"each {RARE_BELOW} times or more in train"
    table = TableOf(("letter", "code point", "name", "", "in train"), rows, marked, bars=4)
    return [Paragraph(f"{len(rows):,} letters, {summary}"), table]


def left_out_part(index: ShardIndex) -> list[Part]:
    """Rejects by reason, and how many images occur more than once."""
    rows = [(reason, count, REASONS.get(reason, "")) for reason, count in by_count(index.counts.rejects).items()]
    rejects = TableOf(("rejected", "samples", "why"), rows, bars=1) if rows else Paragraph("none rejected")
    duplicates = index.counts.duplicates
    if any(duplicates.values()):
        return [rejects, TableOf(("copies of an image", "samples"), list(duplicates.items()))]
    return [rejects, Paragraph("no image occurs twice")]


def options_part(index: ShardIndex) -> list[Part]:
    """The options as they were given, then what the build decided. Of a profile file, how much it holds."""
    decided = {name: value for name, value in index.options.items() if name != "asked"}
    shown = index.options.get("asked", {}) | decided
    if index.options.get("profile_file"):
        profile = index.profile
        shown["profile_file"] = f"{len(profile.letters):,} letters; own folds: {len(profile.own_folds):,}"
    rows = [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in shown.items()
    ]
    return [TableOf(("option", "value"), rows)] if rows else []
