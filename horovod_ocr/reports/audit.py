"""What an audit found, as sections for a page and a terminal, and as plain values."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from horovod_ocr.reports.audit_letters import (
    alphabet_of,
    confusables_part,
    letters_part,
    likely_slips,
    rare_letters,
    script_part,
    signs,
    stays_two,
    told,
)
from horovod_ocr.reports.letter_changes import folds_told, refused_told
from horovod_ocr.reports.page import Figures, Paragraph, Picture, Section, TableOf, build_page
from horovod_ocr.reports.sheet import sheet_png
from horovod_ocr.reports.stats import (
    RARE,
    SIZES,
    SetStats,
    buckets_part,
    classes_part,
    megabytes,
    sizes_part,
    subsets_part,
)
from horovod_ocr.reports.summary import SUBSETS_LOOK_LIKE_TEXTS, subsets_look_like_texts
from horovod_ocr.reports.tally import Tally
from horovod_ocr.reports.wording import counted, splits_told
from sharding.audit.audit import Audit, Twin
from sharding.audit.scan import FORMATS, MOST_EXAMPLES, Specimen
from sharding.format.splits import SPLITS
from sharding.reading.labels import by_count as falling_counts
from sharding.reasons import REASONS
from sharding.system.files import write_whole

MOST_SLIPS = 5
MOST_IN_LINE = 5  # letters
SHOWN_EXAMPLES = 3  # of each reason, on a terminal; the page has them all
QUANTILES = {"least": 0.0, "median": 0.5, "99 %": 0.99, "most": 1.0}


def verdict(audit: Audit) -> str:
    """How many of how many would be packed, in a sentence."""
    images = f"{audit.looked_at:,} images"
    if audit.looked_at < audit.entries:
        images = f"a sample of {audit.looked_at:,} out of {audit.entries:,} images"
    if not audit.packed:
        return f"of {images}, none can be used"
    share = audit.packed / audit.looked_at
    splits = ", ".join(f"{split} {count:,}" for split, count in audit.samples.items())
    return f"of {images}, {audit.packed:,} would be packed ({share:.1%}): {splits}"


def write_page(audit: Audit, path: Path) -> None:
    """The report as one HTML file. OSError where it cannot be written."""
    names = ", ".join(str(root) for root, _ in audit.sources)
    page = build_page(f"Audit of {names}", audit_sections(audit, for_page=True))
    write_whole(path, page.encode("utf-8", "backslashreplace"))


def audit_sections(audit: Audit, for_page: bool = False) -> list[Section]:
    """The sections of the report, the verdict last. for_page: with pictures, and all examples of each reason."""
    stats = stats_of(audit)
    rejected, pictures = (audit.rejected_pictures, audit.pictures) if for_page else ([], [])
    examples = MOST_EXAMPLES if for_page else SHOWN_EXAMPLES
    parts = {
        "Worth a look": warnings_part(audit),
        "Refused": rejects_part(audit, examples) + pictures_part(rejected, "some of them, as far as they can be read"),
        "The same image again": copies_part(audit, examples),
        "Splits": splits_part(audit),
        "Script": script_part(audit),
        "Letters": letters_part(audit),
        "Look-alikes": confusables_part(audit),
        "Labels": labels_part(audit),
        "Classes": classes_part(audit, stats),  # an audit names its classes, subsets and edges as an index does
        "Images": formats_part(audit) + sizes_part(stats),
        "Buckets": buckets_part(audit, stats) if audit.bucket_edges else [],
        "Subsets": subsets_part(audit, stats),
        "Samples": pictures_part(pictures, f"{len(pictures)} samples, drawn by lot"),
        "Verdict": [Paragraph(verdict(audit))],
    }
    figures = [
        ("images", f"{audit.entries:,}"),
        ("would be packed", f"{audit.packed:,}"),
        ("refused", f"{audit.found.rejects.total():,}"),
        ("read", megabytes(audit.found.read_bytes)),
        ("layout", ", ".join(dict.fromkeys(layout for _, layout in audit.sources))),
        ("profile", f"{audit.profile.name} ({audit.profile.direction})"),
        ("letters", f"{len(alphabet_of(audit)):,}") if audit.kind == "words" else ("classes", f"{len(audit.classes)}"),
    ]
    if audit.looked_at < audit.entries:
        figures.insert(1, ("of them looked at", f"{audit.looked_at:,}"))
    return [Section("The source", [Figures(figures)]), *(Section(name, part) for name, part in parts.items() if part)]


def stats_of(audit: Audit) -> SetStats:
    """What an audit has counted, as `stats` counts it in a finished set."""
    found = audit.found
    tallies = {"image_size" if name == "read_bytes" else name: tally_of(*found.sizes[name]) for name in found.sizes}
    if audit.kind == "words":
        lengths = sorted(found.lengths.items())
        tallies["label_length"] = tally_of(*np.array(lengths, np.int64).reshape(-1, 2).T)
    return SetStats(
        splits=SPLITS,
        tallies=tallies,
        subsets=by_split_of(found.subsets, len(audit.subsets)),
        buckets=audit.buckets,
        classes=by_split_of(found.classes, len(audit.classes)),
    )


def tally_of(numbers: np.ndarray, counts: np.ndarray) -> Tally:
    tally = Tally()
    tally.add(np.repeat(numbers.astype(np.int64), counts))
    return tally


def by_split_of(counts: Counter[tuple[int, int]], numbers: int) -> np.ndarray:
    """Counts by (number, split) as int64 [splits, numbers]."""
    table = np.zeros((len(SPLITS), numbers), np.int64)
    for (number, split), count in counts.items():
        table[split, number] = count
    return table


def warnings_part(audit: Audit) -> list:
    found, rejects = audit.found, audit.found.rejects
    lines = [*audit.notes]
    if subsets_look_like_texts(len(audit.subsets), audit.entries):
        lines.append(SUBSETS_LOOK_LIKE_TEXTS)
    if audit.looked_at < audit.entries:
        lines.append("this is a sample: a copy is found only where both images are in it")
    if rejects.total() > audit.looked_at / 100:
        most, count = falling(rejects)[0]
        lines.append(f"{rejects.total() / audit.looked_at:.1%} would be refused, mostly: {most} ({count:,})")
    if conflicts := rejects["conflicting labels"]:
        lines.append(f"{counted(conflicts, 'image has', 'images have')} two labels; nobody can say which one is right")
    if across := audit.copies.counts["across splits"]:
        what = "left out" if audit.options["asked"]["dedup"] else "kept unless shard is told --dedup"
        copies = counted(across, "copy of an image is", "copies of an image are")
        lines.append(f"{copies} in another split than the image: {what}")
    if audit.kind == "words" and (rare := rare_letters(audit)):
        letters = counted(len(rare), "letter occurs", "letters occur")
        lines.append(f"{letters} fewer than {RARE} times in train: {signs(rare)}")
    if found.labels.folded:
        changes = "; ".join(folds_told(falling_counts(found.labels.folded), audit.profile.name, MOST_IN_LINE))
        lines.append(f"the profile changes {counted(found.labels.folded.total(), 'letter')} of labels: {changes}")
    if found.labels.refused:
        letters = "; ".join(refused_told(falling_counts(found.labels.refused), MOST_IN_LINE))
        refused = counted(found.labels.refused.total(), "letter")
        lines.append(f"the profile {audit.profile.name} refuses {refused}: {letters}")
    for pair in likely_slips(audit)[:MOST_SLIPS]:
        rare, often = sorted(pair[:2], key=audit.found.labels.letters.get)
        counts = [audit.found.labels.letters[letter] for letter in (rare, often)]
        lines.append(f"{told(rare)} ({counted(counts[0], 'time')}) looks like {told(often)} ({counts[1]:,}): a slip?")
    empty = [split for split, count in audit.samples.items() if not count]
    if audit.packed and empty:
        lines.append(f"{' and '.join(empty)} would be empty")
    return [Paragraph(line) for line in lines]


def rejects_part(audit: Audit, most: int) -> list:
    rejects, examples = audit.found.rejects, audit.found.examples
    if not rejects:
        return [Paragraph("none")]
    ordered = falling(rejects)
    rows = [(reason, count, REASONS[reason]) for reason, count in ordered]
    named = [(reason, *example) for reason, _ in ordered for example in examples.get(reason, [])[:most]]
    parts: list = [TableOf(("refused", "images", "why"), rows, bars=1)]
    if named:
        parts.append(TableOf(("refused", "path", "detail"), named))
    return parts


def falling(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def copies_part(audit: Audit, most: int) -> list:
    parts: list = []
    head = ("path", "label", "split", "the same image", "its label", "its split")
    if audit.copies.conflicts:
        conflicts = audit.found.rejects["conflicting labels"]
        parts += [
            Paragraph(f"{counted(conflicts, 'image has', 'images have')} two labels, all refused"),
            twins_table(head, audit.copies.conflicts, most),
        ]
    if audit.copies.examples:
        rows = [(name, count) for name, count in audit.copies.counts.items()]
        parts += [
            TableOf(("further copies of an image", "images"), rows),
            twins_table(head, audit.copies.examples, most),
        ]
    return parts or [Paragraph("no image occurs twice")]


def twins_table(head: tuple[str, ...], twins: list[Twin], most: int) -> TableOf:
    across = frozenset(position for position, twin in enumerate(twins[:most]) if twin.split != twin.other_split)
    return TableOf(head, twins[:most], across)


def splits_part(audit: Audit) -> list:
    source = splits_told(audit.options["split"], *audit.given_splits, audit.options["asked"]["group_from"])
    total = audit.packed or 1
    rows = [(split, count, f"{count / total:.1%}") for split, count in audit.samples.items()]
    return [TableOf(("split", "samples", "share"), rows), Paragraph(f"splits: {source}")]


def labels_part(audit: Audit) -> list:
    if not audit.labels.distinct:
        return []
    samples = sum(audit.found.lengths.values())
    figures = Figures(
        [
            ("different labels", f"{audit.labels.distinct:,}"),
            ("that occur once", f"{audit.labels.single:,}"),
            ("samples a label", f"{samples / audit.labels.distinct:,.1f}"),
        ]
    )
    rows = [(label, count, f"{count / samples:.2%}") for label, count in audit.labels.often]
    return [figures, *([TableOf(("most often", "samples", "share"), rows, bars=1)] if rows else [])]


def formats_part(audit: Audit) -> list:
    formats: dict[str, list[int]] = {}
    for (start, converted), count in audit.found.formats.items():
        row = formats.setdefault(FORMATS[start], [0, 0])
        row[0] += count
        row[1] += count * converted
    rows = [(name, *row) for name, row in sorted(formats.items(), key=lambda item: -item[1][0])]
    return [TableOf(("format", "images", "of them converted"), rows, bars=1)] if rows else []


def pictures_part(pictures: Sequence[Specimen], caption: str) -> list:
    return [Picture(sheet_png([(each.image, each.text) for each in pictures]), caption)] if pictures else []


def audit_values(audit: Audit) -> dict:
    """The numbers of an audit as plain JSON values."""
    found, stats = audit.found, stats_of(audit)
    formats = Counter()
    for (start, _), count in found.formats.items():
        formats[FORMATS[start]] += count
    return {
        "sources": [{"root": str(root), "layout": layout} for root, layout in audit.sources],
        "kind": audit.kind,
        "images": audit.entries,
        "looked_at": audit.looked_at,
        "packed": audit.packed,
        "splits": audit.samples,
        "rejects": dict(falling(found.rejects)),
        "copies": audit.copies.counts,
        "profile": audit.profile.name,
        "direction": audit.profile.direction,
        "profile_why": audit.profile_why,
        "notes": list(audit.notes),
        "alphabet": {letter: count for letter, (count, _) in alphabet_of(audit).items()},
        "rare_letters": rare_letters(audit) if audit.kind == "words" else [],
        "folded": falling_counts(found.labels.folded),
        "refused_letters": falling_counts(found.labels.refused),
        "changed_letters": {letter: becomes for letter, becomes, _ in audit.labels.changed_letters},
        "labels_changed": found.labels.changed,
        "look_alikes": [{**pair._asdict(), "kept_apart": stays_two(pair)} for pair in audit.labels.confusables],
        "label_lengths": {} if audit.kind == "classes" else dict(sorted(found.lengths.items())),
        "distinct_labels": audit.labels.distinct,
        "single_labels": audit.labels.single,
        "often": [{"label": label, "images": count} for label, count in audit.labels.often],
        "classes": dict(zip(audit.classes, stats.classes.sum(axis=0).tolist(), strict=True)),
        "subsets": dict(zip(audit.subsets, stats.subsets.sum(axis=0).tolist(), strict=True)),
        "formats": dict(formats),
        "converted": sum(count for (_, converted), count in found.formats.items() if converted),
        "sizes": {
            SIZES[name]: {what: tally.quantile(share) for what, share in QUANTILES.items()}
            for name, tally in stats.tallies.items()
            if tally.total
        },
        "buckets": dict(zip(map(str, audit.bucket_edges), audit.buckets.sum(axis=0).tolist(), strict=True)),
        "read_bytes": found.read_bytes,
    }
