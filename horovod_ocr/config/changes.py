"""In which settings a run differs from what it was, or from its recipe."""

from typing import Any

OF_COMMAND = ("resume", "run", "runs")  # say which run, and nothing of its training


def changed_settings(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The settings that a resumed run changes, as "lr 0.1 -> 0.2". before, now: of `TrainConfig.to_dict`; those that
    one of them lacks are left out."""
    flat = [
        open_tables({name: value for name, value in each.items() if name not in OF_COMMAND}) for each in (before, now)
    ]
    both = [name for name in flat[0] if name in flat[1] and flat[0][name] != flat[1][name]]
    return [f"{name} {shown(flat[0][name])} -> {shown(flat[1][name])}" for name in both]


def open_tables(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of inner tables under names with dots."""
    opened: dict[str, Any] = {}
    for name, value in settings.items():
        inner = open_tables(value) if isinstance(value, dict) else None
        opened |= {name: value} if inner is None else {f"{name}.{key}": each for key, each in inner.items()}
    return opened


def shown(value: object) -> object:
    return "-" if value is None else value
