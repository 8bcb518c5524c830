"""What page/script.js must know of a charset: JavaScript has neither the classes of UAX 9 nor the folds."""

import re
from typing import Any

from horovod_ocr.text.charset import Charset
from sharding.format.script.bidi import bracket_pairs, class_of
from sharding.format.script.folds import Rewriting, fold_tables, folds_of, spellings, visible_joiners
from sharding.format.script.letters import ZWNJ
from sharding.format.script.order import is_bound, is_unambiguous
from sharding.format.script.profile import ScriptProfile

LANGUAGES = {"urdu": "ur", "arabic": "ar", "persian": "fa", "thai": "th"}  # what lang= is called, by profile


def script_table(charset: Charset) -> dict[str, Any]:
    """Plain JSON values: see `buildScript` of page/script.js. Letters without a class are "L"."""
    letters, profile = charset.letters, charset.profile
    classes: dict[str, str] = {}
    for letter in letters:
        if (found := class_of(letter)) != "L":
            classes[found] = classes.get(found, "") + letter
    return {
        "lang": LANGUAGES.get(profile.base),
        "direction": profile.direction,
        "letters": "".join(letters),
        "classes": classes,
        "bound": "".join(filter(is_bound, letters)),
        "rtl": "".join(letter for letter in letters if not is_unambiguous(letter, "ltr")),
        "neutral": "".join(letter for letter in letters if is_unambiguous(letter, "rtl")),
        "brackets": bracket_pairs(),
        "folds": folds_table(profile),
    }


def folds_table(profile: ScriptProfile) -> dict[str, Any]:
    """What `ScriptProfile.normalise` does: two tables of letters, one before NFC and one after it, then patterns."""
    on = tuple(name for name, is_on in profile.folds if is_on)
    before, after = (
        {chr(code): target or "" for code, target in table.items()} for table in fold_tables(profile.base, on)
    )
    keeps_joiners = "joiners" in on and ZWNJ not in folds_of(profile.base)["joiners"]
    groups = [*groups_of(spellings())] if "spellings" in on else []
    groups += groups_of(visible_joiners()) if keeps_joiners else []
    own = sorted(profile.own_folds, key=lambda fold: (-len(fold[0]), fold))
    if own:
        rules = [[escaped(source), target.replace("$", "$$")] for source, target in own]
        groups.append(["|".join(pattern for pattern, _ in rules), rules])
    return {"before": before, "after": after, "groups": groups, "repeats": bool(own) or keeps_joiners}


def groups_of(rewriting: Rewriting) -> list[list[Any]]:
    """Patterns as JavaScript has them, with the signs that call for them."""
    return [
        [signs, [[pattern, re.sub(r"\\(\d)", r"$\1", becomes)] for pattern, becomes, _ in rules]]
        for signs, rules in rewriting.groups
    ]


def escaped(text: str) -> str:
    """A text as a pattern of JavaScript, which refuses to escape anything but its own signs."""
    return re.sub(r"[\\^$.*+?()\[\]{}|/]", r"\\\g<0>", text)
