"""Bars of a benchmark: what was measured, what it must be, and what a record says about the machine."""

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple


class Bar(NamedTuple):
    """A limit and what was measured."""

    name: str
    value: float
    """What was measured."""
    limit: float
    at_most: bool = True
    """Whether the limit is the largest value, not the smallest."""
    judged: bool = True
    """False if this machine cannot measure it reliably."""

    @property
    def holds(self) -> bool:
        return not self.judged or (self.value <= self.limit if self.at_most else self.value >= self.limit)


def exit_code(bars: list[Bar], smoke: bool) -> int:
    """0 if every bar holds; the tiny sizes of a smoke run say nothing about them."""
    return 0 if smoke or all(bar.holds for bar in bars) else 1


def print_us(heading: str, us: dict[str, float]) -> None:
    """CPU microseconds of each side."""
    print(f"{heading:<46}{'':>8}")
    for side, value in us.items():
        print(f"{side:<46}{value:>8.1f}")


def print_bars(bars: list[Bar], not_judged: str = "") -> None:
    """not_judged: why this machine cannot measure some of them."""
    print(f"\n{'bar':<46}{'seen':>8}{'bar':>12}")
    for bar in bars:
        sign = "at most" if bar.at_most else "at least"
        verdict = ("holds" if bar.holds else "MISSED") if bar.judged else f"not judged: {not_judged}"
        print(f"{bar.name:<46}{bar.value:>8.3g}{sign:>9} {bar.limit:<5g}{verdict}")


def record_of(bars: list[Bar]) -> dict:
    """A record's part about the bars."""
    return {
        "passed": all(bar.holds for bar in bars),
        "bars": {bar.name: {"seen": round(bar.value, 4), "limit": bar.limit, "judged": bar.judged} for bar in bars},
    }


def machine_of(*packages: str) -> dict:
    """When, where and with which versions a record was made; None for a package that is not installed."""

    def version_of(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()} {platform.system()}, {len(os.sched_getaffinity(0))} cores",
        "python": platform.python_version(),
        **{name: version_of(name) for name in packages},
    }
