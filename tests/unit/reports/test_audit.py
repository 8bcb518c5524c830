"""The report of an audit shows what was found, on the page, on the terminal and as JSON."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from horovod_ocr.cli.main import app
from horovod_ocr.reports.audit import audit_sections, figures_of, verdict, write_audit_page
from horovod_ocr.reports.audit_values import audit_values
from horovod_ocr.reports.page import Paragraph, TableOf
from horovod_ocr.reports.terminal import draw_sections
from sharding.audit.audit import audit_source
from sharding.audit.result import Audit
from sharding.options import ShardOptions

YEH, FARSI_YEH, JOINER = "\u064a", "\u06cc", "\u200c"
LATIN = " (profile latin has them; --profile plain takes any)"


@pytest.fixture
def make_source(tmp_path: Path, make_image) -> Callable[..., Path]:
    """labels -> a folder where the n-th image, with the n-th label, is `make_image(n)`; None: no such file."""

    def make(labels: list[str | None], name: str = "raw") -> Path:
        (tmp_path / name).mkdir()
        lines = []
        for number, label in enumerate(labels):
            if label is not None:
                image = make_image(number, (96 + number // 200, 64))
                (tmp_path / name / f"{number}.png").write_bytes(image)
            lines.append(f"{number}.png\t{'دن' if label is None else label}\n")
        (tmp_path / name / "labels.tsv").write_text("".join(lines), "utf-8")
        return tmp_path / name

    return make


def audit_of(src: Path, sample: int | None = None, **others) -> Audit:
    return audit_source(ShardOptions.of(src=src, out=Path("never"), workers=1, **others), sample)


def tables_of(audit: Audit) -> dict[str, list[list]]:
    return {
        section.heading: [list(row) for part in section.parts if isinstance(part, TableOf) for row in part.rows]
        for section in audit_sections(audit)
    }


def texts_of(audit: Audit, heading: str) -> list[str]:
    parts = [part for section in audit_sections(audit) if section.heading == heading for part in section.parts]
    return [part.text for part in parts if isinstance(part, Paragraph)]


WORDS = ["دن", "رات", "سال", "شہر", "گھر"] * 30


def test_rejects_are_counted_explained_and_named(make_source):
    audit = audit_of(make_source([*WORDS, "abc", None]))
    rows = tables_of(audit)["Rejected"]
    assert ["missing image", 1, "there is no such file"] in rows
    assert ["missing image", "151.png", ""] in rows
    assert ["unknown letters", "150.png", f"a U+0061 b U+0062 c U+0063 in 'abc'{LATIN}"] in rows
    (line,) = [line for line in texts_of(audit, "Worth a look") if "rejected" in line]
    assert line == "1.3% would be rejected, mostly: missing image (1)"


def test_every_letter_is_shown_with_what_becomes_of_it(make_source):
    audit = audit_of(make_source([*WORDS, f"ند{YEH}", f"ند{FARSI_YEH}", f"دن{JOINER}", "рa"]))
    rows = tables_of(audit)["Letters"]
    assert ["a", "U+0061", "latin small letter a", 1] in rows
    assert [YEH, "U+064A", "arabic letter yeh", FARSI_YEH, "U+06CC", 1] in rows
    assert ["", "U+200C", "zero width non-joiner", "", "dropped", 1] in rows
    (rare,) = [row for row in rows if row[0] == FARSI_YEH and len(row) == 6]
    assert rare[2:5] == ["arabic letter farsi yeh", "rare", 2]
    assert "normalising changes 2 of 154 labels" in texts_of(audit, "Letters")
    assert texts_of(audit, "Worth a look")[-2:] == [
        f"the profile changes 2 letters of labels: {YEH} U+064A became {FARSI_YEH} U+06CC 1 time; "
        'U+200C (zero width non-joiner) was dropped 1 time; a profile file with extends = "urdu" and joiners = false '
        "below [folds] keeps it",
        "the profile urdu refuses 2 letters: a U+0061 1 time (profile latin has it; --profile plain takes any); "
        "р U+0440 1 time (--profile plain takes any)",
    ]
    assert tables_of(audit)["Script"][0][:2] == ["arabic", sum(map(len, WORDS)) + 9 - 1]


def test_look_alikes_are_shown_with_what_the_profile_makes_of_them(make_source):
    audit = audit_of(make_source([*["lamp"] * 30, *["Il1"] * 30]), profile="latin")
    rows = tables_of(audit)["Look-alikes"]
    assert [row[0].split()[0] for row in rows] == ["U+0031", "U+0031", "U+0049"]
    assert rows[2] == ["U+0049 I latin capital letter i", 30, "U+006C l latin small letter l", 60, "two letters"]
    folded = audit_of(make_source([YEH * 3, FARSI_YEH * 3] * 30, "yeh"))
    assert [row[4] for row in tables_of(folded)["Look-alikes"]] == ["one letter"]


def test_a_letter_that_is_far_rarer_than_its_look_alike_may_be_a_slip(make_source):
    words = ["lamp lit"] * 60
    (line,) = [
        line
        for line in texts_of(audit_of(make_source([*words, "1amp"]), profile="latin"), "Worth a look")
        if "slip" in line
    ]
    assert line == "U+0031 1 digit one (1 time) looks like U+006C l latin small letter l (120): a slip?"
    often = audit_of(make_source([*words, *["1amp"] * 9], "often"), profile="latin")
    assert not any("slip" in line for line in texts_of(often, "Worth a look"))


def test_conflicts_and_copies_are_named(make_source):
    src = make_source([*WORDS, "ابپ", "تثج", "دن"])
    for name, like in (("150", "151"), ("152", "0")):
        (src / f"{name}.png").write_bytes((src / f"{like}.png").read_bytes())
    audit = audit_of(src)
    rows = tables_of(audit)["The same image again"]
    assert sorted(rows[0][1::3]) == ["ابپ", "تثج"] and len(rows) == 5
    assert ["same split", 1] in rows and {*rows[-1]} >= {"0.png", "152.png", "دن"}
    assert any(line.startswith("2 images have two labels") for line in texts_of(audit, "Worth a look"))


@pytest.mark.slow
def test_the_tables_count_the_samples(make_source):
    audit = audit_of(make_source(WORDS * 2))
    tables = tables_of(audit)
    assert ["width, px", 96, 96, 96, 96, 97, 97, 97, "96.3"] in tables["Images"]
    assert sum(row[1] for row in tables["Buckets"]) == 300
    assert ["PNG", 300, 0] in tables["Images"]
    assert {row[0]: row[1] for row in tables["Labels"]} == dict.fromkeys(WORDS, 60)
    assert sum(row[1] for row in tables["Splits"]) == 300 and "Classes" not in tables


@pytest.mark.slow
def test_the_report_says_where_the_splits_come_from(make_source, tmp_path: Path):
    src = make_source(WORDS)
    by_label = "splits: by label (no word of val or test is in train)"
    assert texts_of(audit_of(src), "Splits") == [by_label]
    assert texts_of(audit_of(src, split="file"), "Splits") == ["splits: by file"]
    rows = (src / "labels.tsv").read_text("utf-8").splitlines()
    (src / "labels.tsv").unlink()
    for split, part in (("train", rows[:100]), ("val", rows[100:120]), ("test", rows[120:])):
        (src / f"{split}.tsv").write_text("\n".join(part) + "\n", "utf-8")
    assert texts_of(audit_of(src), "Splits") == ["splits: as the source gives them"]
    assert texts_of(audit_of(src, split="label"), "Splits") == [by_label]


def test_classes_have_no_letters(tmp_path: Path, make_image):
    for number in range(60):
        (tmp_path / f"c{number % 2}").mkdir(exist_ok=True)
        (tmp_path / f"c{number % 2}" / f"{number}.png").write_bytes(make_image(number))
    tables = tables_of(audit := audit_of(tmp_path))
    assert [row[:2] for row in tables["Classes"]] == [["c0", 30], ["c1", 30]]
    assert not {"Letters", "Look-alikes", "Labels", "Script"} & set(tables)
    assert audit_values(audit)["classes"] == {"c0": 30, "c1": 30}
    assert figures_of(audit)[-1] == ("classes", "2") and "profile" not in dict(figures_of(audit))


def test_what_the_splits_of_classes_lack_is_worth_a_look(tmp_path: Path, make_image):
    for number in range(120):
        folder = tmp_path / ("ant" if number < 5 else "bee")
        folder.mkdir(exist_ok=True)
        (folder / f"video{number // 40}-{number}.png").write_bytes(make_image(number))
    (tmp_path / "empty").mkdir()
    notes = texts_of(audit_of(tmp_path, group_from=r"video\d"), "Worth a look")
    assert "empty/ holds no image, and is no class" in notes
    assert [note for note in notes if "1 of 2 classes has no image in " in note and "ant 5" in note]
    assert [note for note in notes if note.startswith("the shares are far from --fractions: train ")]
    asked_for = texts_of(audit_of(tmp_path, fractions=(1.0, 0.0, 0.0)), "Worth a look")
    assert not [note for note in asked_for if "would be empty" in note]
    sampled = texts_of(audit_of(tmp_path, sample=100, group_from=r"video\d"), "Worth a look")
    assert not [note for note in sampled if "no image in" in note]


@pytest.mark.slow
def test_the_page_has_the_pictures_and_every_text_is_escaped(make_source, tmp_path: Path):
    audit = audit_of(make_source(["<b>", "&amp", "word"] * 20), profile="latin")
    write_audit_page(audit, tmp_path / "audit.html")
    page = (tmp_path / "audit.html").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 1 and "<b>" not in page and "&lt;b&gt;" in page
    assert verdict(audit) in page and "latin small letter w" in page


@pytest.mark.slow
def test_the_terminal_shows_what_the_page_says(make_source):
    console = Console(file=io.StringIO(), width=160)
    audit = audit_of(make_source([*WORDS, "[bold]x"]))
    console.print(draw_sections(audit_sections(audit)))
    drawn = console.file.getvalue()
    assert "[ U+005B" not in drawn and "in '[bold]x'" in drawn and "urdu (rtl)" in drawn and verdict(audit) in drawn


@pytest.mark.slow
def test_a_sample_says_that_it_is_one(make_source):
    audit = audit_of(make_source(WORDS * 4), sample=100)
    assert verdict(audit).startswith(f"of a sample of {audit.looked_at} out of 600 images, {audit.looked_at} would be")
    assert any("this is a sample" in line for line in texts_of(audit, "Worth a look"))


@pytest.mark.slow
def test_the_command_writes_the_page_and_names_the_next_one(make_source, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_source([*WORDS, "abc"])
    done = CliRunner().invoke(app, ["audit", "--src", "raw", "--workers", "1", "--max-label", "3", "--dedup"])
    assert done.exit_code == 0, done.output
    assert "of 151 images, 150 would be packed (99.3%)" in done.stdout
    assert "written: audit.html\nnext: horovod-ocr shard --src raw --max-label 3 --dedup --workers 1" in done.stdout
    assert (tmp_path / "audit.html").read_text("utf-8").startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.html", "raw"]


@pytest.mark.slow
def test_json_is_one_object_with_the_numbers(make_source, tmp_path: Path):
    src, page = make_source([*WORDS, "abc"]), tmp_path / "page.html"
    done = CliRunner().invoke(app, ["audit", "--src", str(src), "--workers", "1", "--json", "--out", str(page)])
    values = json.loads(done.stdout)
    assert done.exit_code == 0 and page.exists() and values["page"] == str(page)
    assert values["images"] == 151 and values["packed"] == 150 and values["rejects"] == {"unknown letters": 1}
    assert sum(values["splits"].values()) == 150 and values["alphabet"]["د"] == 30
    assert values["label_lengths"] == {"2": 30, "3": 120} and values["sizes"]["width, px"]["most"] == 96


@pytest.mark.slow
def test_a_source_of_which_nothing_can_be_used_ends_with_3_and_a_page(make_source, tmp_path: Path):
    page = tmp_path / "page.html"
    src = make_source([None, None])
    done = CliRunner().invoke(app, ["audit", "--src", str(src), "--workers", "1", "--out", str(page)])
    assert done.exit_code == 3 and page.exists() and "next:" not in done.stdout
    assert f"of 2 images, none can be used; {page} says why" in done.stderr


@pytest.mark.slow
def test_an_image_that_cannot_be_read_is_drawn_as_its_reason(make_source):
    src = make_source(WORDS)
    (src / "3.png").write_bytes(b"no picture")
    (src / "4.png").write_bytes((src / "4.png").read_bytes()[:60])
    audit = audit_of(src)
    assert [picture.text for picture in audit.rejected_pictures] == ["damaged image", "not an image"]
    sections = {section.heading: section for section in audit_sections(audit, for_page=True)}
    with Image.open(io.BytesIO(sections["Rejected"].parts[-1].png)) as sheet:
        assert sheet.width > 200
