"""The parts of a page as text: bars as long as their counts, labels as they are written."""

import io

from rich.console import Console

from horovod_ocr.reports.page import BarChart, Figures, Paragraph, Picture, Section, TableOf
from horovod_ocr.reports.terminal import BAR_CELLS, MOST_ROWS, bar_of, draw_sections


def text_of(*parts) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(draw_sections([Section("heading", parts)]))
    return console.file.getvalue()


def test_every_part_but_a_picture_is_shown():
    text = text_of(
        Paragraph("a text"),
        Figures([("samples", "12")]),
        TableOf(("a",), [("cell",)]),
        BarChart("xy", [1, 2]),
        Picture(b"", "a picture"),
    )
    assert all(part in text for part in ("heading", "a text", "samples  12", "cell", "█")) and "a picture" not in text
    assert text_of(Picture(b"")).strip() == ""


def test_labels_are_not_read_as_markup():
    assert "[red]x[/red] اردو" in text_of(TableOf(("a",), [("[red]x[/red] اردو",)]), Paragraph("[bold]"))


def test_bars_are_as_long_as_their_counts():
    assert [len(bar_of(share)) for share in (0, 0.5, 1)] == [0, BAR_CELLS // 2, BAR_CELLS]
    assert bar_of(1e-9) == "▏"
    lines = text_of(TableOf(("a", "n"), [("x", 50), ("y", 100), ("z", 0)], bars=1)).splitlines()
    assert [line.count("█") for line in lines[-3:]] == [BAR_CELLS // 2, BAR_CELLS, 0]


def test_zeros_and_empty_parts_are_drawn():
    assert "█" not in text_of(
        BarChart("ab", [0, 0]), BarChart([], []), TableOf(("a",), []), TableOf(("a",), [(0,)], bars=0)
    )


def test_a_long_table_is_cut_and_says_so():
    text = text_of(TableOf(("n",), [(position,) for position in range(1000, 1100)]))
    assert f"{1000 + MOST_ROWS - 1:,}" in text and f"{1000 + MOST_ROWS:,}" not in text and "40 more" in text


def test_no_name_is_cut_however_narrow_the_terminal():
    """Cut to the same letters, two rows could not be told apart."""
    names = ("allreduce", "allreduce-fp16")
    table = TableOf(["way", *names], [[name, "1,234.5", "2,345.6"] for name in names])
    console = Console(width=20, file=io.StringIO())
    console.print(draw_sections([Section("Times", [table])]))
    drawn = console.file.getvalue()
    assert "…" not in drawn
    columns = list(zip(*(line.ljust(30).split("│") for line in drawn.splitlines() if "│" in line), strict=True))
    assert "".join(part.strip() for part in columns[0]) == "".join(names)
