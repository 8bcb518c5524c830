"""What a person should look at before packing an audited source, a sentence each."""

from collections.abc import Iterator

from horovod_ocr.reports.letter_changes import fold_lines, refusal_lines
from horovod_ocr.reports.letter_names import letter_text, signs
from horovod_ocr.reports.wording import classes_warnings, counted, empty_splits, groups_warning, subsets_warning
from sharding.audit.counts import likely_slips, rare_letters
from sharding.audit.result import Audit
from sharding.audit.set_stats import RARE_BELOW
from sharding.counts import by_count

MOST_SLIPS = 5
MOST_LETTERS = 5  # in one sentence


def warnings_on(audit: Audit) -> Iterator[str]:
    """All warnings; those about single letters come late, because there may be many."""
    yield from audit.notes
    if warning := subsets_warning(len(audit.subsets), audit.entries):
        yield warning
    if audit.looked_at < audit.entries:
        yield "this is a sample: a copy is found only if both images are in it"
    yield from warnings_on_images(audit)
    if audit.kind == "words":
        yield from warnings_on_letters(audit)
    yield from warnings_on_splits(audit)


def warnings_on_splits(audit: Audit) -> Iterator[str]:
    """Splits that are empty, of another size than asked for, or without some classes."""
    asked = audit.options["asked"]
    empty = empty_splits(audit.samples, asked["fractions"], audit.given_splits[0])
    if audit.packed and empty:
        yield f"{' and '.join(empty)} would be empty"
    if warning := groups_warning(audit.options["split"], audit.samples, asked["fractions"]):
        yield warning
    if audit.looked_at == audit.entries:  # a sample may lack any class
        yield from classes_warnings(audit.classes, audit.class_samples)


def warnings_on_images(audit: Audit) -> Iterator[str]:
    """Rejects, and images that occur more than once."""
    rejects = audit.found.rejects
    if rejects.total() > audit.looked_at / 100:
        reason, count = next(iter(by_count(rejects).items()))
        yield f"{rejects.total() / audit.looked_at:.1%} would be rejected, mostly: {reason} ({count:,})"
    if conflicts := rejects["conflicting labels"]:
        yield f"{counted(conflicts, 'image has', 'images have')} two labels; nobody can say which one is right"
    if across := audit.copies.counts["across splits"]:
        what = "left out" if audit.options["asked"]["dedup"] else "kept unless shard is told --dedup"
        copies = counted(across, "copy of an image is", "copies of an image are")
        yield f"{copies} in another split than the image: {what}"


def warnings_on_letters(audit: Audit) -> Iterator[str]:
    """Letters that are rare, changed or refused, and those that may be slips."""
    raw, profile = audit.found.labels, audit.profile.name
    if rare := rare_letters(audit):
        letters = counted(len(rare), "letter occurs", "letters occur")
        yield f"{letters} fewer than {RARE_BELOW} times in train: {signs(rare)}"
    if raw.folded:
        changes = "; ".join(fold_lines(by_count(raw.folded), profile, MOST_LETTERS))
        yield f"the profile changes {counted(raw.folded.total(), 'letter')} of labels: {changes}"
    if raw.refused:
        refused = "; ".join(refusal_lines(by_count(raw.refused), MOST_LETTERS))
        yield f"the profile {profile} refuses {counted(raw.refused.total(), 'letter')}: {refused}"
    for pair in likely_slips(audit)[:MOST_SLIPS]:
        rare_letter, often = sorted((pair.letter, pair.other), key=lambda letter: raw.letters[letter])
        yield (
            f"{letter_text(rare_letter)} ({counted(raw.letters[rare_letter], 'time')}) looks like "
            f"{letter_text(often)} ({raw.letters[often]:,}): a slip?"
        )
