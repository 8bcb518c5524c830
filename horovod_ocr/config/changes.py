"""In which settings a run differs from what it was, or from its recipe."""

from typing import Any, NamedTuple

OF_COMMAND = ("resume", "run", "runs")  # say which run, and nothing of its training


class Change(NamedTuple):
    """A setting that has another value."""

    name: str
    """With dots for what is in a table, such as model_options.width."""
    before: object
    """None: not set."""
    now: object
    """None: not set."""


def changed_settings(before: dict[str, Any], now: dict[str, Any]) -> list[Change]:
    """before, now: of `TrainConfig.to_dict`; a setting that only one of them knows, being of another version, is left
    out."""
    both = [name for name in before if name in now and name not in OF_COMMAND]
    old, new = (open_tables({name: each[name] for name in both}) for each in (before, now))
    names = dict.fromkeys([*old, *new])
    return [Change(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def open_tables(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of inner tables under names with dots."""
    opened: dict[str, Any] = {}
    for name, value in settings.items():
        inner = open_tables(value) if isinstance(value, dict) else None
        opened |= {name: value} if inner is None else {f"{name}.{key}": each for key, each in inner.items()}
    return opened


def shown(value: object) -> object:
    return "-" if value is None else value
