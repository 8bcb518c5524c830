"""A page is one file: everything escaped, nothing loaded, bars as high as their counts."""

import re
from xml.etree import ElementTree

import pytest

from horovod_ocr.reports.page import (
    CHART_HEIGHT,
    BarChart,
    Figures,
    Paragraph,
    Picture,
    Section,
    TableOf,
    build_page,
    chart_svg,
    linear_ticks,
)

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>alert('\"&')</script>"


def bars_of(chart: BarChart) -> list[float]:
    drawing = ElementTree.fromstring(chart_svg(chart))
    return [float(bar.get("height")) for bar in drawing.iter(f"{SVG}rect")]


def test_every_text_is_escaped_and_nothing_is_loaded():
    parts = [
        Paragraph(EVIL),
        Figures([(EVIL, EVIL)]),
        TableOf([EVIL], [[EVIL]]),
        BarChart([EVIL], [1], caption=EVIL),
        Picture(b"png", EVIL),
    ]
    page = build_page(EVIL, [Section(EVIL, parts)])
    assert "<script" not in page and page.count("&lt;script&gt;") >= 9
    assert re.findall(r'(?:src|href)="(?!data:)', page) == [] and "url(" not in page and "@import" not in page
    assert 'src="data:image/png;base64,cG5n"' in page
    assert page.startswith("<!doctype html>") and 'name="viewport"' in page and "prefers-color-scheme: dark" in page


def test_labels_run_in_the_direction_of_their_script():
    page = build_page("x", [Section("x", [TableOf(["label"], [["اردو"]])])])
    assert '<td dir="auto">اردو</td>' in page


def test_numbers_are_aligned_to_the_right_and_marked_rows_are_marked():
    table = TableOf(["name", "samples", "share"], [["a", 12345, "1.5%"], ["b", 7, "0.1%"]], marked=frozenset({1}))
    page = build_page("x", [Section("x", [table])])
    assert page.count('<td class="number"') == 4 and ">12,345</td>" in page
    assert '<tr class="marked"><td dir="auto">b<' in page and page.count('class="marked"') == 1


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("counts", [[7], list(range(200)), [0, 0, 0], [0, 1, 35_000_000], [0.25, 0.5]])
def test_bars_are_in_the_chart_and_in_the_order_of_their_counts(counts, log):
    bars = bars_of(BarChart([f"label {n}" for n in range(len(counts))], counts, log=log))
    assert len(bars) == len(counts) and all(0 <= bar <= CHART_HEIGHT for bar in bars)
    assert bars == sorted(bars)
    assert all((bar > 0) == (count > 0) for bar, count in zip(bars, counts, strict=True)) or not log


def test_a_linear_bar_is_as_high_as_its_count():
    assert bars_of(BarChart("ab", [50, 100]))[0] * 2 == pytest.approx(bars_of(BarChart("ab", [50, 100]))[1], abs=0.02)


def test_in_a_logarithmic_chart_powers_of_ten_are_equal_steps():
    none, *bars = bars_of(BarChart("abcde", [0, 1, 10, 100, 1000], log=True))
    steps = [after - before for before, after in zip([none, *bars], bars, strict=False)]
    assert steps == pytest.approx([steps[0]] * 4, abs=0.02)


@pytest.mark.parametrize("highest", [0, 0.3, 1, 2, 3, 7, 9.99, 100, 101, 12_345, 35_000_000])
def test_the_axis_has_round_numbers_and_reaches_the_highest_count(highest):
    ticks = linear_ticks(highest)
    assert ticks[0] == 0 and ticks[-1] >= highest and 2 <= len(ticks) <= 6
    assert highest == 0 or ticks[-2] < highest


def test_labels_do_not_run_into_each_other():
    chart = BarChart([f"{n * 1000}-{n * 1000 + 999}" for n in range(60)], [1] * 60)
    drawing = ElementTree.fromstring(chart_svg(chart))
    middles = [float(text.get("x")) for text in drawing.iter(f"{SVG}text") if text.get("text-anchor") == "middle"]
    assert len(middles) > 3
    assert min(after - before for before, after in zip(middles, middles[1:], strict=False)) > 6 * len("59000-59999")


def test_a_chart_without_bars_and_a_table_without_rows_are_drawn():
    assert "none" in build_page("x", [Section("x", [BarChart([], []), TableOf(["a", "b"], [])])])
