"""Is a build taken up again under the options it was begun with; if not, which ones differ, as a person types them."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

from sharding.errors import ConfigError

_OF_PROFILE = ("profile", "direction", "folds", "profile_file")  # what followed from the asked-for ones and the labels


def are_other_options(before: dict, now: dict) -> bool:
    """Would these options make other bytes?"""
    return any(before.get(name) != value for name, value in _as_written(now).items())


def check_same_options(out: Path, before: dict, now: dict) -> None:
    """ConfigError, which names the options that differ and the ways out, where a build is taken up under others."""
    now = _as_written(now)
    changed = {name for name, value in now.items() if before.get(name) != value}
    if not changed:
        return
    was, is_now = [], []
    for names, typed in _TYPED:
        if changed.isdisjoint(names):
            continue
        changed.difference_update(names)
        one, other = typed(before), typed(now)
        was.append(one)
        is_now.append("with another content of it" if one == other else other)
    if not was and not changed.isdisjoint(_OF_PROFILE):
        was, is_now = [_typed_profile(before)], ["with another content of it"]
    if not was:
        was, is_now = ["with another version of this program"], ["with this one"]
    raise ConfigError(
        f"{out} was begun {' and '.join(was)}, and now it is to go on {' and '.join(is_now)}; give the same options as "
        f"then, name another folder with --out, or delete the folder {out}"
    )


def _as_written(options: dict) -> dict:
    """Through JSON, as build.json holds them: a tuple is a list there."""
    return json.loads(json.dumps(options))


def _typed(option: str, value: object) -> str:
    """value: None where the option was not given."""
    return f"without {option}" if value is None else f"with {option} {shlex.quote(str(value))}"


def _value(name: str, option: str) -> Callable[[dict], str]:
    return lambda options: _typed(option, options.get(name))


def _typed_layout(options: dict) -> str:
    layouts = options.get("layout") or ""  # found, where it was not asked for; of several sources each
    return f"with the layouts {layouts}" if ", " in layouts else _typed("--layout", layouts)


def _typed_profile(options: dict) -> str:
    return _typed("--profile", options.get("asked_profile"))


def _typed_split(options: dict) -> str:
    if options.get("split_lists"):
        return "with --split-lists"
    if options.get("group_from") is not None:
        return _typed("--group-from", options["group_from"])
    return _typed("--split", None if options.get("keep_given_splits") else options.get("split"))


def _typed_fractions(options: dict) -> str:
    return _typed("--fractions", ",".join(f"{fraction:g}" for fraction in options.get("fractions") or ()))


def _typed_dedup(options: dict) -> str:
    return "with --dedup" if options.get("dedup") else "without --dedup"


def _typed_max_label(options: dict) -> str:
    return _typed("--max-label", (options.get("limits") or {}).get("max_label") or None)


_TYPED: tuple[tuple[tuple[str, ...], Callable[[dict], str]], ...] = (
    (("asked_profile",), _typed_profile),
    (("asked_direction",), _value("asked_direction", "--direction")),
    (("label_from_name",), _value("label_from_name", "--label-from-name")),
    (("images",), _value("images", "--images")),
    (("layout",), _typed_layout),
    (("seed",), _value("seed", "--seed")),
    (("samples_per_shard",), _value("samples_per_shard", "--samples-per-shard")),
    (("check",), _value("check", "--check")),
    (("split", "keep_given_splits", "group_from", "split_lists"), _typed_split),
    (("fractions",), _typed_fractions),
    (("dedup",), _typed_dedup),
    (("image",), _value("image", "--image")),
    (("height_px",), _value("height_px", "--height")),
    (("limits",), _typed_max_label),
)
