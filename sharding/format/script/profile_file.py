"""A script profile that a person wrote, from a TOML file.

Keys: name, letters, and optionally direction, extends (a built-in profile, whose letters and folds it adds to) and a
table of folds: "what is written" = "what it becomes", "" drops it; `yeh = false` switches a fold of the extended
profile off. docs/labels.md has a whole example.
"""

import tomllib
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

from sharding.errors import ConfigError
from sharding.format.script.folds import fold_tables, folds_of, spellings
from sharding.format.script.guess import guess_direction
from sharding.format.script.letters import PROFILES, is_refused, name_letters
from sharding.format.script.profile import ScriptProfile, build_profile, check_direction
from sharding.system.files import read_settings_text

_KEYS = ("name", "direction", "letters", "extends", "folds")


def is_profile_file(profile: str) -> bool:
    return profile.endswith(".toml")


def read_profile(path: Path) -> ScriptProfile:
    """The profile of a file. Its direction is "" if the file extends `plain` and gives none: then labels decide.
    ConfigError, which names the file and the key, if it is not a profile."""
    values = _read(path)
    base = values.get("extends", "plain")
    own_folds, switches = _folds_of(path, values.get("folds", {}), base)
    extended = build_profile(base, direction=None, **switches)
    letters = _letters_of(path, values, extended.letters)
    direction = values.get("direction") or ""
    if letters and not direction:
        direction = extended.direction if "extends" in values else guess_direction([letters])
    if direction:
        try:
            check_direction(direction)
        except ConfigError as error:
            raise ConfigError(f"{path}: direction: {error}") from error
    profile = ScriptProfile(values["name"], direction, letters, extended.folds, base, own_folds)
    _check(path, profile, values.get("letters", ""))
    return profile


def _read(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(read_settings_text(path))
    except FileNotFoundError as error:
        raise ConfigError(f"--profile {path}: there is no such file") from error
    except OSError as error:
        raise ConfigError(f"--profile {path}: cannot be read ({error.strerror or error})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--profile {path}: not TOML: {error}") from error
    for key, value in values.items():
        if key not in _KEYS:
            raise ConfigError(f"{path}: no key {key!r}; there are: {', '.join(_KEYS)}")
        kind = dict if key == "folds" else str
        if type(value) is not kind:
            raise ConfigError(f"{path}: {key} is a {'table' if kind is dict else 'text'}, not {value!r}")
    if not values.get("name"):
        raise ConfigError(f"{path}: name is missing; give the profile one")
    if values["name"] in PROFILES:
        raise ConfigError(f"{path}: name: {values['name']} is a built-in profile; choose another name")
    if values.get("extends", "plain") not in PROFILES:
        raise ConfigError(f"{path}: extends: no profile {values['extends']!r}; there are: {', '.join(PROFILES)}")
    return values


def _folds_of(path: Path, folds: dict[str, Any], base: str) -> tuple[tuple[tuple[str, str], ...], dict[str, bool]]:
    """What the letters of a file become, and which folds of the built-in profile it switches on or off."""
    own, switches = {}, {}
    for source, target in folds.items():
        if type(target) is bool:
            if source not in folds_of(base):
                raise ConfigError(f"{path}: folds: {base} has no fold {source!r}; it has: {', '.join(folds_of(base))}")
            switches[source] = target
        elif type(target) is not str or not source:
            raise ConfigError(f"{path}: folds: {source!r} = {target!r}; write what becomes of which letters, as texts")
        else:
            composed = unicodedata.normalize("NFC", source)
            if composed in own:
                raise ConfigError(f"{path}: folds: {source!r} is given twice, composed and decomposed; give it once")
            own[composed] = unicodedata.normalize("NFC", target)
    sources = {letter for source in own for letter in source}
    for source, target in own.items():
        if sum(letter in sources for letter in target) >= len(source):
            raise ConfigError(
                f"{path}: folds: {source!r} becomes {target!r}, which folds change again; write what it ends as"
            )
    return tuple(own.items()), switches


def _letters_of(path: Path, values: dict[str, Any], base_letters: str) -> str:
    """The letters of the file, with those of the profile that it extends; empty: any."""
    own = unicodedata.normalize("NFC", values.get("letters", ""))
    if refused := [letter for letter in own if is_refused(letter)]:
        raise ConfigError(f"{path}: letters: {name_letters(refused[:6])} can be in no label; leave it out")
    if "extends" not in values:
        if not own:
            raise ConfigError(f"{path}: letters is missing; name all letters of the script, or what it extends")
        return "".join(dict.fromkeys(" " + own))
    if not base_letters:
        if own:
            raise ConfigError(f"{path}: letters: {values['extends']} takes any letter; leave letters out")
        return ""
    return "".join(dict.fromkeys(base_letters + own))


def _check(path: Path, profile: ScriptProfile, letters: str) -> None:
    """ConfigError if a fold of the extended profile takes a letter away, or if what a fold makes is not allowed."""
    for fold, on in profile.folds:
        taken = [letter for letter in unicodedata.normalize("NFC", letters) if letter in folds_of(profile.base)[fold]]
        if on and taken:
            raise ConfigError(
                f"{path}: letters: {name_letters(taken[:6])} is changed by the fold {fold}; write {fold} = false below "
                "[folds]"
            )
    built_in = replace(profile, own_folds=())
    for source, target in profile.own_folds:
        if fold := _fold_before(built_in, source):
            raise ConfigError(
                f"{path}: folds: {source!r} is never met, for the fold {fold} of {profile.base} comes first; write "
                f"{fold} = false below [folds]"
            )
        if unknown := profile.unknown(profile.normalise(target)):
            raise ConfigError(
                f"{path}: folds: {source!r} becomes {target!r}, and {name_letters(unknown[:6])} is not in letters; "
                "add it there"
            )


def _fold_before(profile: ScriptProfile, letters: str) -> str:
    """The built-in fold that changes these letters, so that a fold of a profile file never meets them; "" if there is
    none."""
    switched_on = tuple(name for name, on in profile.folds if on)
    before, after = fold_tables(profile.base, switched_on)
    text = unicodedata.normalize("NFC", letters.translate(before)).translate(after)
    if text == letters:
        is_spelled = "spellings" in switched_on and spellings().rewrite(letters) != letters
        return "spellings" if is_spelled else ""
    known = folds_of(profile.base)
    # a yeh of any kind composes with a hamza
    return next((name for name in switched_on if not known[name].keys().isdisjoint(letters)), "yeh")
