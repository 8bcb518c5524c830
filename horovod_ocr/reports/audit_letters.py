"""The letters of an audited source: its scripts, what becomes of each letter, and which letters look alike."""

from horovod_ocr.reports.letter_names import code_point, letter_cells, letter_text, signs
from horovod_ocr.reports.page import Paragraph, Part, TableOf
from horovod_ocr.reports.set_parts import rarity_of
from horovod_ocr.reports.wording import counted
from sharding.audit.counts import count_letters, count_scripts, rare_letters, stay_apart
from sharding.audit.result import Audit
from sharding.audit.set_stats import RARE_BELOW

MOST_SCRIPTS = 12


def script_part(audit: Audit) -> list[Part]:
    if audit.kind != "words":
        return []
    why = f"profile {audit.profile.name} ({audit.profile.direction}): {audit.profile_why}"
    scripts = count_scripts(audit)
    rows = [(script, n, f"{n / scripts.total():.2%}") for script, n in scripts.most_common(MOST_SCRIPTS)]
    return [Paragraph(why), TableOf(("script of the letters", "letters", "share"), rows, bars=1)]


def letters_part(audit: Audit) -> list[Part]:
    """What the profile refuses, what it changes, and the alphabet that remains."""
    parts: list[Part] = [*refused_letters(audit), *changed_letters(audit)]
    raw = audit.found.labels
    if raw.count:
        parts.append(Paragraph(f"normalising changes {raw.changed:,} of {raw.count:,} labels"))
    return [*parts, *normalised_letters(audit)]


def refused_letters(audit: Audit) -> list[Part]:
    refused = audit.found.labels.refused
    rows = [(*letter_cells(letter), count) for letter, count in refused.most_common()]
    return [TableOf(("refused letter", "code point", "name", "times"), rows, bars=3)] if rows else []


def changed_letters(audit: Audit) -> list[Part]:
    rows = [
        (*letter_cells(letter), signs(becomes), " ".join(map(code_point, becomes)) or "dropped", count)
        for letter, becomes, count in audit.labels.changed_letters
    ]
    return [TableOf(("written", "code point", "name", "becomes", "", "times"), rows, bars=5)] if rows else []


def normalised_letters(audit: Audit) -> list[Part]:
    """The alphabet after normalising, its rare letters marked."""
    rows = [
        (*letter_cells(letter), rarity_of(count.in_train), count.in_all, count.in_train)
        for letter, count in count_letters(audit).items()
    ]
    if not rows:
        return []
    rare = rare_letters(audit)
    summary = f"{len(rare)} rare: {signs(rare, len(rare))}" if rare else f"each {RARE_BELOW} times or more in train"
    marked = frozenset(position for position, row in enumerate(rows) if row[3])
    table = TableOf(("letter", "code point", "name", "", "times", "in train"), rows, marked, bars=4)
    return [Paragraph(f"the alphabet after normalising, {counted(len(rows), 'letter')}, {summary}"), table]


def look_alikes_part(audit: Audit) -> list[Part]:
    """Pairs of letters that look alike; those that stay two letters are marked."""
    pairs = audit.labels.confusables
    if not pairs:
        return []
    rows = []
    for pair in pairs:
        what = "two letters" if stay_apart(pair) else "refused" if pair.refused else "one letter"
        rows.append((letter_text(pair.letter), pair.count, letter_text(pair.other), pair.other_count, what))
    marked = frozenset(position for position, pair in enumerate(pairs) if stay_apart(pair))
    head = ("letter", "times", "looks like", "times", "the profile makes it")
    return [Paragraph("letters that look alike, as they were written"), TableOf(head, rows, marked)]
