"""What all benchmarks share: their options, their bars, and the record in which a run ends."""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
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


def parser_of(doc: str) -> argparse.ArgumentParser:
    """The options of every benchmark; doc is the docstring of its file."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes; no bar is judged")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="also write the record into this folder")
    return parser


def end(
    benchmark: str, figures: dict, bars: Sequence[Bar], packages: Sequence[str], options: argparse.Namespace
) -> int:
    """Print the record as JSON in one line, write it if that was asked for, and return the exit code.

    The code is 0 if every bar holds. The tiny sizes of a smoke run say nothing about bars: `passed` is then None.
    """
    passed = None if options.smoke else all(bar.holds for bar in bars)
    record = {
        "benchmark": benchmark,
        "passed": passed,
        "bars": {
            bar.name: {
                "seen": round(bar.value, 4),
                "limit": bar.limit,
                "judged": bar.judged and not options.smoke,
            }
            for bar in bars
        },
        **figures,
        **machine_of(packages),
    }
    print(json.dumps(record))
    if options.record:
        options.record.mkdir(parents=True, exist_ok=True)
        path = options.record / f"{record['date']}-{benchmark}.json"
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 1 if passed is False else 0


def print_us(heading: str, us: dict[str, float]) -> None:
    """CPU microseconds of each side."""
    print(f"{heading:<46}{'':>8}")
    for side, value in us.items():
        print(f"{side:<46}{value:>8.1f}")


def print_bars(bars: list[Bar], options: argparse.Namespace, not_judged: str = "") -> None:
    """not_judged: why this machine cannot measure some of them."""
    print(f"\n{'bar':<46}{'seen':>8}{'bar':>12}")
    for bar in bars:
        sign = "at most" if bar.at_most else "at least"
        if options.smoke:
            verdict = "not judged: tiny sizes"
        else:
            verdict = ("holds" if bar.holds else "MISSED") if bar.judged else f"not judged: {not_judged}"
        print(f"{bar.name:<46}{bar.value:>8.3g}{sign:>9} {bar.limit:<5g}{verdict}")


def machine_of(packages: Sequence[str]) -> dict:
    """When, where and with which versions a benchmark ran; None for a package that is not installed."""

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
