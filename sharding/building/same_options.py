"""Whether a build is continued under the options it was begun with; if not, which differ, as a person types them."""

import json
import shlex
from pathlib import Path
from typing import Any

from sharding.errors import ConfigError
from sharding.options import ShardOptions

_OF_PROFILE = ("profile", "direction", "folds", "profile_file")  # what the options and the labels decided
_OTHER_CONTENT = "with another content of it"


def are_other_options(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Would these options (of `options_of_bytes`) make other bytes?"""
    before = _with_defaults(before)
    return any(before.get(name) != value for name, value in _as_written(now).items())


def check_same_options(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """ConfigError, which names the options that differ and the ways out, if a build is continued under others."""
    before, now = _with_defaults(before), _as_written(now)
    changed = {name for name, value in now.items() if before.get(name) != value}
    if not changed:
        return
    asked, asks = before.get("asked", {}), now["asked"]
    differing = [name for name, value in asks.items() if asked.get(name) != value]
    was = [_typed(name, asked.get(name)) for name in differing]
    is_now = [_typed(name, asks[name]) for name in differing]
    is_now = [_OTHER_CONTENT if new == old else new for old, new in zip(was, is_now, strict=True)]
    if "layout" in changed:
        was, is_now = [*was, _typed_layout(before)], [*is_now, _typed_layout(now)]
    if not was and not changed.isdisjoint(_OF_PROFILE):
        was, is_now = [_typed("profile", asks["profile"])], [_OTHER_CONTENT]
    if not was:
        was, is_now = ["with another version of this program"], ["with this one"]
    raise ConfigError(
        f"{out} was begun {' and '.join(was)}, but is now continued {' and '.join(is_now)}; give the same options as "
        f"before, name another folder with --out, or delete the folder {out}"
    )


def _with_defaults(before: dict[str, Any]) -> dict[str, Any]:
    """With the defaults of options that there were not yet when it was written."""
    return {**before, "asked": _as_written(ShardOptions().shaping) | before.get("asked", {})}


def _as_written(options: dict[str, Any]) -> dict[str, Any]:
    """Through JSON, as build.json holds them: a tuple is a list there."""
    written: dict[str, Any] = json.loads(json.dumps(options))
    return written


def _typed_layout(options: dict[str, Any]) -> str:
    """Found if it was not asked for; for several sources, one each."""
    layouts = options.get("layout") or ""
    return f"with the layouts {layouts}" if ", " in layouts else _typed("layout", layouts)


def _typed(name: str, value: object) -> str:
    """An option as a person types it. value: None or False if it was not given."""
    option = f"--{name.replace('_', '-')}"
    if value is None or value is False or (name == "max_label" and value == 0):  # 0: any length, as without it
        return f"without {option}"
    if value is True or name == "split_lists":  # the digest of the lists, which nobody types
        return f"with {option}"
    text = ",".join(f"{each:g}" for each in value) if isinstance(value, list) else str(value)
    return f"with {option} {shlex.quote(text)}"
