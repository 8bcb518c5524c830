"""Letters as a person can read them: visible, by code point and by name."""

import unicodedata
from collections.abc import Sequence

MOST_SIGNS = 12


def visible(letter: str) -> str:
    """A letter that can be seen: a mark on a dotted circle, a space as ␣, an unprintable one as its code point."""
    if letter.isspace():
        return "␣"
    if len(letter) == 1 and not letter.isprintable():
        return code_point(letter)
    return f"◌{letter}" if unicodedata.category(letter[0]).startswith("M") else letter


def code_point(letter: str) -> str:
    return f"U+{ord(letter):04X}"


def letter_name(letter: str) -> str:
    """Its name in Unicode, in small letters."""
    return unicodedata.name(letter[0], "without a name").lower()


def sign_of(letter: str) -> str:
    """The letter for a table that also names its code point: empty if nothing of it can be seen."""
    return visible(letter) if letter.isprintable() or letter.isspace() else ""


def signs(letters: Sequence[str], most: int = MOST_SIGNS) -> str:
    """Letters side by side; those that cannot be seen by their code points."""
    shown = [sign_of(letter) or code_point(letter) for letter in letters[:most]]
    return " ".join(shown) + (" ..." if len(letters) > most else "")


def letter_cells(letter: str) -> tuple[str, str, str]:
    """Letter, code point and name, for three cells of a table."""
    return sign_of(letter), code_point(letter), letter_name(letter)


def letter_text(letter: str) -> str:
    """A letter in one cell. The code point is first, so that the cell runs from left to right in any script."""
    return " ".join(filter(None, (code_point(letter), sign_of(letter), letter_name(letter))))
