"""One HTML file that holds a report: texts, figures, tables, bar charts and pictures. No script, nothing to load."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from sharding.system.files import write_whole

CHART_HEIGHT = 150
AXIS_HEIGHT, AXIS_WIDTH = 22, 46
BAR_STEP = (5, 44)  # narrowest and widest, units of the picture
CHART_WIDTH = 640  # bars are narrower than the widest, so that a chart is no wider
LABEL_STEP = 7  # width of a character of the axis
Cell = str | int | float


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str
    """Plain text; it is escaped in HTML."""


@dataclass(frozen=True)
class Figures:
    """Key figures, side by side."""

    figures: Sequence[tuple[str, str]]
    """(what, how much)."""


@dataclass(frozen=True)
class TableOf:
    """Rows under a head. A column of numbers, or of texts that look like numbers, is aligned to the right."""

    head: Sequence[str]
    """The name of each column."""
    rows: Sequence[Sequence[Cell]]
    """A cell for each column."""
    marked: frozenset[int] = frozenset()
    """Positions of highlighted rows."""
    bars: int | None = None
    """The column whose counts are also drawn as small bars."""


@dataclass(frozen=True)
class BarChart:
    """A bar for each label."""

    labels: Sequence[str]
    """Of the bars, from left to right; if they need too much room, only some are shown."""
    counts: Sequence[float]
    """At least 0."""
    log: bool = False
    """Whether bars are as high as the logarithm, so that small counts are visible beside large ones."""
    caption: str = ""
    """Empty for none."""


@dataclass(frozen=True)
class Picture:
    """A PNG with its caption."""

    png: bytes
    """The bytes of the file."""
    caption: str = ""
    """Also its alternative text in HTML; empty for none."""


@dataclass(frozen=True)
class Drawing:
    """An SVG with its caption."""

    svg: str
    """The element, without what stands before it in a file of its own."""
    caption: str = ""
    """Empty for none."""


Part = Paragraph | Figures | TableOf | BarChart | Picture | Drawing


@dataclass(frozen=True)
class Section:
    """Parts below a heading."""

    heading: str
    """Plain text; it is escaped in HTML."""
    parts: Sequence[Part]
    """From top to bottom."""


STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf7; --card: #fff; --ink: #1d1d1b; --faint: #6a6a63; --line: #dedcd3;
  --bar: #3a6ea5; --mark: #fbeccb; }
@media (prefers-color-scheme: dark) { :root { --paper: #171716; --card: #20201e; --ink: #e9e8e3; --faint: #a3a29a;
  --line: #3a3a36; --bar: #7fb0e3; --mark: #4a3c17; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Noto Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
p { max-width: 48rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
figcaption { color: var(--faint); font-size: .9rem; }
.figures { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; padding: 0; }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .8rem; }
.figures dt { color: var(--faint); font-size: .85rem; }
.figures dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
.long { max-height: 34rem; overflow-y: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: break-word; max-width: 34rem; }
th { color: var(--faint); font-weight: 500; position: sticky; top: 0; background: var(--paper); }
th.number, td.number { text-align: right; white-space: nowrap; }
tr.marked td { background: var(--mark); }
td.bar { min-width: 8rem; }
td.bar i { display: block; height: .7rem; margin-top: .45rem; background: var(--bar); }
svg { display: block; max-width: none; }
svg text { fill: var(--faint); font: 11px system-ui, "Noto Sans", sans-serif; }
svg .bar { fill: var(--bar); }
svg .grid { stroke: var(--line); }
img { max-width: 100%; height: auto; border: 1px solid var(--line); }
"""


def write_page(title: str, sections: Sequence[Section], path: Path) -> None:
    """Write the page to a file. OSError if it cannot be written."""
    write_whole(path, build_page(title, sections).encode("utf-8", "backslashreplace"))


def build_page(title: str, sections: Sequence[Section]) -> str:
    """The whole page. Every text is escaped; each label runs in the direction of its script."""
    body = "".join(
        f"<section><h2>{escape(section.heading)}</h2>{''.join(map(part_html, section.parts))}</section>\n"
        for section in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f'<body><h1 dir="auto">{escape(title)}</h1>\n{body}</body></html>\n'
    )


def part_html(part: Part) -> str:
    match part:
        case Paragraph():
            return f'<p dir="auto">{escape(part.text)}</p>'
        case Figures():
            pairs = (
                f'<div><dt>{escape(what)}</dt><dd dir="auto">{escape(much)}</dd></div>' for what, much in part.figures
            )
            return f'<dl class="figures">{"".join(pairs)}</dl>'
        case TableOf():
            return table_html(part)
        case BarChart():
            return f'<figure><div class="wide">{chart_svg(part)}</div>{caption_html(part.caption)}</figure>'
        case Picture():
            data = base64.b64encode(part.png).decode()
            image = f'<img src="data:image/png;base64,{data}" alt="{escape(part.caption)}">'
            return f"<figure>{image}{caption_html(part.caption)}</figure>"
        case Drawing():
            return f'<figure><div class="wide">{part.svg}</div>{caption_html(part.caption)}</figure>'


def caption_html(caption: str) -> str:
    return f'<figcaption dir="auto">{escape(caption)}</figcaption>' if caption else ""


def table_html(table: TableOf) -> str:
    columns: list[tuple[Cell, ...]] = list(zip(*table.rows, strict=True)) or [()] * len(table.head)
    sides = [' class="number"' if cells and all(map(is_number, cells)) else "" for cells in columns]
    head = "".join(f"<th{side}>{escape(name)}</th>" for name, side in zip(table.head, sides, strict=True))
    head += "<th></th>" if table.bars is not None else ""
    shares = bar_shares(table)
    rows = []
    for position, row in enumerate(table.rows):
        cells = [f'<td{side} dir="auto">{escape(shown(cell))}</td>' for cell, side in zip(row, sides, strict=True)]
        if shares:
            cells.append(f'<td class="bar"><i style="width:{100 * shares[position]:.1f}%"></i></td>')
        mark = ' class="marked"' if position in table.marked else ""
        rows.append(f"<tr{mark}>{''.join(cells)}</tr>")
    return f'<div class="wide long"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def bar_shares(table: TableOf) -> list[float]:
    """The length of each row's bar, 0 to 1; empty if the table has no bars."""
    if table.bars is None:
        return []
    counts = [float(row[table.bars]) for row in table.rows]
    top = max(counts, default=0) or 1
    return [count / top for count in counts]


def is_number(cell: Cell) -> bool:
    """Is it a number, or a text that reads as one: "1,234", "5.6%", ""?"""
    if isinstance(cell, str):
        return not cell or cell.strip("+-%").replace(",", "").replace(".", "", 1).isdecimal()
    return True


def shown(value: Cell) -> str:
    """A cell as text: whole numbers with commas, others with two decimals."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def chart_svg(chart: BarChart) -> str:
    """The bars as SVG, each with its label and count as a tooltip, and an axis of round numbers on the left."""
    if not chart.labels:
        return "<p>none</p>"
    highest = max(chart.counts)
    ticks = log_ticks(highest) if chart.log else linear_ticks(highest)
    top = ticks[-1]
    step = max(BAR_STEP[0], min(BAR_STEP[1], CHART_WIDTH / len(chart.labels)))
    left = max(AXIS_WIDTH, LABEL_STEP * (1 + max(len(short(tick)) for tick in ticks)))
    every = math.ceil(label_room(chart.labels) / step)
    width = left + step * len(chart.labels) + LABEL_STEP * max(map(len, chart.labels)) / 2 + 8
    height = CHART_HEIGHT + AXIS_HEIGHT + 10
    parts = [
        f'<svg role="img" width="{width:.0f}" height="{height}" viewBox="0 0 {width:.1f} {height}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(chart.caption)}</title>'
    ]
    for tick in ticks:
        y = 10 + CHART_HEIGHT - CHART_HEIGHT * bar_share(tick, top, chart.log)
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{width:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 5:.1f}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    for position, (label, count) in enumerate(zip(chart.labels, chart.counts, strict=True)):
        tall = CHART_HEIGHT * bar_share(count, top, chart.log)
        x = left + position * step
        parts.append(
            f'<rect class="bar" x="{x + step * 0.1:.2f}" y="{10 + CHART_HEIGHT - tall:.2f}" width="{step * 0.8:.2f}" '
            f'height="{tall:.2f}"><title>{escape(label)}: {escape(shown(count))}</title></rect>'
        )
        if position % every == 0:
            middle, foot = x + step / 2, CHART_HEIGHT + 10 + AXIS_HEIGHT - 8
            parts.append(
                f'<text x="{middle:.1f}" y="{foot}" text-anchor="middle" direction="ltr">{escape(label)}</text>'
            )
    return "".join(parts) + "</svg>"


def label_room(labels: Sequence[str]) -> float:
    """The width that the longest label needs."""
    return 6 + LABEL_STEP * max(map(len, labels))


def bar_share(count: float, top: float, log: bool) -> float:
    """The height of a bar: 0 to 1 (count = top). With log, 1 is as far above 0 as 10 is above 1."""
    if not log:
        return count / top
    return (1 + math.log10(max(count, 1))) / (1 + math.log10(max(top, 1))) if count else 0.0


def linear_ticks(highest: float) -> list[float]:
    """0 and up to five round numbers, the last one not below the highest count."""
    if highest <= 0:
        return [0, 1]
    raw = highest / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * (1 - 1e-9))
    if highest >= 4:
        step = max(1, round(step))
    return [step * position for position in range(math.ceil(highest / step - 1e-9) + 1)]


def log_ticks(highest: float) -> list[float]:
    """0 and the powers of ten up to the first that is not below the highest count."""
    powers = max(1, math.ceil(math.log10(max(highest, 1)) - 1e-9))
    return [0, *(10**power for power in range(powers + 1))]


def short(value: float) -> str:
    """A number in short: 1.5M for 1,500,000."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"
