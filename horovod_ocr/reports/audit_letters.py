"""The letters of an audited source: its scripts, what becomes of each letter, which are rare, which look alike."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from horovod_ocr.reports.page import Paragraph, TableOf
from horovod_ocr.reports.stats import RARE, name_of, remark_on, visible
from horovod_ocr.reports.wording import counted
from sharding.audit.audit import Audit
from sharding.audit.confusables import Confusable

MOST_SIGNS = 12
SLIP = 100  # times as frequent as what may be a slip for it


def alphabet_of(audit: Audit) -> dict[str, tuple[int, int]]:
    """Letter -> how often it occurs in all samples, and in those of train."""
    every = sum(audit.found.letters, Counter())
    return {letter: (every[letter], audit.found.letters[0][letter]) for letter in sorted(every)}


def rare_letters(audit: Audit) -> list[str]:
    return [letter for letter, (_, in_train) in alphabet_of(audit).items() if in_train < RARE]


def likely_slips(audit: Audit) -> list[Confusable]:
    """Look-alikes that stay two letters, one of them so rare beside the other that it may be typed by mistake."""
    return [pair for pair in audit.labels.confusables if stays_two(pair) and SLIP * min(pair[2:4]) <= max(pair[2:4])]


def stays_two(pair: Confusable) -> bool:
    return not pair.folded and not pair.refused


def script_part(audit: Audit) -> list:
    if audit.kind != "words":
        return []
    why = f"profile {audit.profile.name} ({audit.profile.direction}): {audit.profile_why}"
    scripts: Counter[str] = Counter()
    for letter, count in audit.found.labels.letters.items():
        if letter.isalpha():
            scripts[unicodedata.name(letter, "?").split()[0].lower()] += count
    rows = [(script, count, f"{count / scripts.total():.2%}") for script, count in scripts.most_common(12)]
    return [Paragraph(why), TableOf(("script of the letters", "letters", "share"), rows, bars=1)]


def letters_part(audit: Audit) -> list:
    found, alphabet = audit.found, alphabet_of(audit)
    parts: list = []
    if found.labels.refused:
        rows = [(*letter_cells(letter), count) for letter, count in found.labels.refused.most_common()]
        parts.append(TableOf(("refused letter", "code point", "name", "times"), rows, bars=3))
    if audit.labels.changed_letters:
        rows = [
            (*letter_cells(letter), becomes and signs(becomes), " ".join(map(code_of, becomes)) or "dropped", count)
            for letter, becomes, count in audit.labels.changed_letters
        ]
        parts.append(TableOf(("written", "code point", "name", "becomes", "", "times"), rows, bars=5))
    if found.labels.count:
        parts.append(Paragraph(f"normalising changes {found.labels.changed:,} of {found.labels.count:,} labels"))
    rows = [(*letter_cells(letter), remark_on(train), count, train) for letter, (count, train) in alphabet.items()]
    marked = frozenset(position for position, row in enumerate(rows) if row[3])
    if rows:
        rare = rare_letters(audit)
        told = f"{len(rare)} rare: {signs(rare, len(rare))}" if rare else f"each {RARE} times or more in train"
        table = TableOf(("letter", "code point", "name", "", "times", "in train"), rows, marked, bars=4)
        parts += [Paragraph(f"the alphabet after normalising, {counted(len(rows), 'letter')}, {told}"), table]
    return parts


def confusables_part(audit: Audit) -> list:
    if not audit.labels.confusables:
        return []
    rows = []
    for pair in audit.labels.confusables:
        what = "two letters" if stays_two(pair) else "refused" if pair.refused else "one letter"
        rows.append((told(pair.letter), pair.count, told(pair.other), pair.other_count, what))
    marked = frozenset(position for position, pair in enumerate(audit.labels.confusables) if stays_two(pair))
    head = ("letter", "times", "looks like", "times", "the profile makes it")
    return [Paragraph("letters that look alike, as they were written"), TableOf(head, rows, marked)]


def letter_cells(letter: str) -> tuple[str, str, str]:
    """Letter, code point, name."""
    return sign_of(letter), code_of(letter), name_of(letter)


def told(letter: str) -> str:
    """A letter in one cell. The code point first: the cell then runs from left to right."""
    return " ".join(filter(None, (code_of(letter), sign_of(letter), name_of(letter))))


def code_of(letter: str) -> str:
    return f"U+{ord(letter):04X}"


def sign_of(letter: str) -> str:
    """What stands for a letter in a table; empty where there is nothing to see."""
    return visible(letter) if letter.isprintable() or letter.isspace() else ""


def signs(letters: Sequence[str], most: int = MOST_SIGNS) -> str:
    """Letters side by side; those that cannot be seen by their code points."""
    shown = [sign_of(letter) or code_of(letter) for letter in letters[:most]]
    return " ".join(shown) + (" ..." if len(letters) > most else "")
