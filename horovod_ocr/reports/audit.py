"""The report on an audited source, as sections for a page and for a terminal."""

from collections.abc import Sequence
from pathlib import Path

from horovod_ocr.console import size_text
from horovod_ocr.reports.audit_letters import letters_part, look_alikes_part, script_part
from horovod_ocr.reports.audit_warnings import warnings_on
from horovod_ocr.reports.page import Figures, Paragraph, Part, Picture, Section, TableOf, write_page
from horovod_ocr.reports.set_parts import buckets_part, classes_part, kind_figures, sizes_part, subsets_part
from horovod_ocr.reports.sheet import sheet_png
from horovod_ocr.reports.wording import counted, splits_source
from sharding.audit.counts import count_formats, count_letters
from sharding.audit.result import Audit, Twin
from sharding.audit.scan import MOST_EXAMPLES, Specimen
from sharding.audit.set_stats import stats_of_audit
from sharding.counts import by_count
from sharding.reasons import REASONS

SHOWN_EXAMPLES = 3  # of each reason, on a terminal; the page has them all


def verdict(audit: Audit) -> str:
    """How many of the images would be packed, in a sentence."""
    images = f"{audit.looked_at:,} images"
    if audit.looked_at < audit.entries:
        images = f"a sample of {audit.looked_at:,} out of {audit.entries:,} images"
    if not audit.packed:
        return f"of {images}, none can be used"
    share = audit.packed / audit.looked_at
    splits = ", ".join(f"{split} {count:,}" for split, count in audit.samples.items())
    return f"of {images}, {audit.packed:,} would be packed ({share:.1%}): {splits}"


def write_audit_page(audit: Audit, path: Path) -> None:
    """The report as one HTML file. OSError if it cannot be written."""
    names = ", ".join(str(root) for root, _ in audit.sources)
    write_page(f"Audit of {names}", audit_sections(audit, for_page=True), path)


def audit_sections(audit: Audit, for_page: bool = False) -> list[Section]:
    """The sections of the report, the verdict last. for_page: with pictures, and all examples of each reason."""
    stats = stats_of_audit(audit)
    rejected, pictures = (audit.rejected_pictures, audit.pictures) if for_page else ([], [])
    examples = MOST_EXAMPLES if for_page else SHOWN_EXAMPLES
    parts: dict[str, list[Part]] = {
        "Worth a look": [Paragraph(warning) for warning in warnings_on(audit)],
        "Rejected": rejected_part(audit, examples)
        + pictures_part(rejected, "some of them, as far as they can be read"),
        "The same image again": copies_part(audit, examples),
        "Splits": planned_splits_part(audit),
        "Script": script_part(audit),
        "Letters": letters_part(audit),
        "Look-alikes": look_alikes_part(audit),
        "Labels": labels_part(audit),
        "Classes": classes_part(audit.classes, stats),
        "Images": formats_part(audit) + sizes_part(stats),
        "Buckets": buckets_part(audit.bucket_edges, stats) if audit.bucket_edges else [],
        "Subsets": subsets_part(audit.subsets, stats),
        "Samples": pictures_part(pictures, f"{len(pictures)} samples, drawn by lot"),
        "Verdict": [Paragraph(verdict(audit))],
    }
    first = Section("The source", [Figures(figures_of(audit))])
    return [first, *(Section(name, part) for name, part in parts.items() if part)]


def figures_of(audit: Audit) -> list[tuple[str, str]]:
    """The key figures at the top of the report."""
    sampled = [("of them looked at", f"{audit.looked_at:,}")] if audit.looked_at < audit.entries else []
    return [
        ("images", f"{audit.entries:,}"),
        *sampled,
        ("would be packed", f"{audit.packed:,}"),
        ("rejected", f"{audit.found.rejects.total():,}"),
        ("read", size_text(audit.found.read_bytes)),
        ("layout", ", ".join(dict.fromkeys(layout for _, layout in audit.sources))),
        *kind_figures(audit.profile, audit.classes, len(count_letters(audit))),
    ]


def rejected_part(audit: Audit, most: int) -> list[Part]:
    """Rejects by reason, and up to `most` examples of each."""
    rejects, examples = audit.found.rejects, audit.found.examples
    if not rejects:
        return [Paragraph("none")]
    ordered = by_count(rejects)
    rows = [(reason, count, REASONS[reason]) for reason, count in ordered.items()]
    named = [(reason, *example) for reason in ordered for example in examples.get(reason, [])[:most]]
    parts: list[Part] = [TableOf(("rejected", "images", "why"), rows, bars=1)]
    if named:
        parts.append(TableOf(("rejected", "path", "detail"), named))
    return parts


def copies_part(audit: Audit, most: int) -> list[Part]:
    """The same image with two labels, then the same image with one; up to `most` examples of each."""
    parts: list[Part] = []
    if audit.copies.conflicts:
        conflicts = audit.found.rejects["conflicting labels"]
        parts += [
            Paragraph(f"{counted(conflicts, 'image has', 'images have')} two labels, all rejected"),
            twins_table(audit.copies.conflicts[:most]),
        ]
    if audit.copies.examples:
        parts += [
            TableOf(("further copies of an image", "images"), list(audit.copies.counts.items())),
            twins_table(audit.copies.examples[:most]),
        ]
    return parts or [Paragraph("no image occurs twice")]


def twins_table(twins: Sequence[Twin]) -> TableOf:
    """Pairs of samples with the same image, marked if they are in two splits."""
    head = ("path", "label", "split", "the same image", "its label", "its split")
    across = frozenset(position for position, twin in enumerate(twins) if twin.split != twin.other_split)
    return TableOf(head, twins, across)


def planned_splits_part(audit: Audit) -> list[Part]:
    source = splits_source(audit.options["split"], *audit.given_splits, audit.options["asked"]["group_from"])
    total = audit.packed or 1
    rows = [(split, count, f"{count / total:.1%}") for split, count in audit.samples.items()]
    return [TableOf(("split", "samples", "share"), rows), Paragraph(f"splits: {source}")]


def labels_part(audit: Audit) -> list[Part]:
    """How often labels repeat."""
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


def formats_part(audit: Audit) -> list[Part]:
    formats = sorted(count_formats(audit).items(), key=lambda item: -item[1].images)
    rows = [(name, *count) for name, count in formats]
    return [TableOf(("format", "images", "of them converted"), rows, bars=1)] if rows else []


def pictures_part(pictures: Sequence[Specimen], caption: str) -> list[Part]:
    return [Picture(sheet_png([(each.image, each.text) for each in pictures]), caption)] if pictures else []
