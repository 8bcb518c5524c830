"""How a report of word scores reads. No torch."""

from typing import Any


def parts_of(report: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """The rows of the table of scores: the whole split, its subsets, each length."""
    rows = [("all", report), *report["subsets"].items()]
    lengths = report["by_length"].items()
    return [*rows, *((f"{name} letter{'' if name == '1' else 's'}", part) for name, part in lengths)]


def remarks_on(report: dict[str, Any]) -> list[str]:
    """What the table of scores does not say."""
    if not report["confusions"]:
        return []
    shown = (f"{wanted or '-'} read {read or '-'}: {times}" for wanted, read, times in report["confusions"][:10])
    return ["most confused letters (- is none): " + ", ".join(shown)]
