"""What shard and verify print at their end: every number that a person asks for, once."""

import io
from dataclasses import fields, replace
from pathlib import Path

import pytest
from rich.console import Console

from horovod_ocr.reports.summary import draw_build, draw_proof, next_command, wrong_of
from sharding.building.report import ShardReport
from sharding.format.index import SetCounts, ShardIndex, ShardInfo
from sharding.format.script.profile import build_profile
from sharding.verify.verify import VerifyReport

ASKED = {"group_from": None, "fractions": [0.8, 0.1, 0.1]}
INDEX = ShardIndex(
    root=Path("my shards"),
    kind="words",
    seed=0,
    profile=build_profile("urdu"),
    alphabet={"ا": 5, "ب": 6, "\u064e": 1},
    classes=(),
    bucket_edges=(0.8, 1.25),
    shards=tuple(ShardInfo(f"train-{number:06d}", "train", 0, 800, 3_750_000, "") for number in range(12)),
    counts=SetCounts(
        totals={"train": 8000, "val": 1000, "test": 1000},
        rejects={"not an image": 7, "conflicting labels": 30},
        duplicates={"same split": 4, "across splits": 2, "left out": 0},
        folded={"ي → ی": 1230, "ـ → ": 1},
        refused_letters={"é": 12, "京": 2, "\u0007": 1},
    ),
    options={"layout": "labels", "profile_why": "as asked for", "split": "label", "asked": ASKED},
)
BUILT = ShardReport(INDEX, 10_037, {}, (0, 0), 0, False, read_bytes=50_000_000)


def altered(report: ShardReport, **facts) -> ShardReport:
    """The report of a build with these facts: fields of the report, of its index, of its counts, or options."""

    def chosen(kind) -> dict:
        return {each.name: facts.pop(each.name) for each in fields(kind) if each.name in facts}

    index = report.index
    of_report, counts, of_index = chosen(ShardReport), chosen(SetCounts), chosen(ShardIndex)
    options = index.options | facts
    return replace(
        report,
        index=replace(index, counts=replace(index.counts, **counts), options=options, **of_index),
        **of_report,
    )


PROVED = VerifyReport(
    samples=10_000,
    shards=12,
    bytes=2_500_000_000,
    damaged={},
    problems=(),
    strays=(),
    images_in_two_splits=0,
    labels_in_two_splits=0,
    seconds=5.0,
)


def text_of(drawn) -> str:
    console = Console(file=io.StringIO(), width=100, soft_wrap=True)
    console.print(drawn)
    return console.file.getvalue()


def test_the_summary_of_a_build_has_all_its_numbers():
    text = text_of(draw_build(BUILT, 5.0, Path("my shards/sheet.png")))
    for part in (
        "8,000",
        "80.0%",
        "12 shards, 45.0 MB",
        "0.80, 1.25",
        "3 letters: ا ب ◌\u064e",
        "not a PNG, JPEG",
        "37 rejected; each is named in my shards/rejects.tsv",
        "4 in the same split, 2 across splits, 0 left out",
        "my shards/duplicates.tsv",
        "--dedup leaves them out",
        "30 images occur more than once, with different labels",
        "10,037 images in 5.0 s: 2,007 images/s, 10.0 MB/s",
        "contact sheet: my shards/sheet.png",
        "words, profile urdu (rtl), layout labels",
        "the profile: as asked for",
        "1,231 letters of labels changed by the profile:",
        "ي U+064A became ی U+06CC 1,230 times",
        "ـ U+0640 was dropped 1 time\n",
        "15 letters refused:",
        "é U+00E9 12 times (profile latin has it; --profile plain takes any)",
        "京 U+4EAC 2 times (--profile plain takes any)",
        "U+0007 1 time\n",
    ):
        assert part in text
    without = altered(BUILT, entries=10_043, duplicates={"same split": 4, "across splits": 2, "left out": 6})
    assert "10,043 images in" in text_of(draw_build(without, 5.0, None))  # what was left out was read as well
    assert "--dedup" not in text_of(draw_build(without, 5.0, None))


def test_a_build_of_several_runs_has_no_speed():
    assert "images/s" not in text_of(draw_build(BUILT, None, None))


def test_what_there_is_none_of_is_left_out():
    none = dict.fromkeys(INDEX.counts.duplicates, 0)
    built = altered(BUILT, rejects={}, folded={}, refused_letters={})
    plain = altered(built, duplicates=none, alphabet={}, already_complete=True)
    text = text_of(draw_build(plain, 5.0, None))
    assert "complete already" in text
    assert not [word for word in ("rejects", "copies", "letters", "images/s", "sheet") if word in text]


def test_many_letters_or_classes_are_not_all_named():
    many = altered(BUILT, kind="classes", alphabet={}, classes=tuple(f"[c{number}]" for number in range(250)))
    assert "250 classes: [c0], [c1]" in text_of(draw_build(many, 1.0, None))
    assert "[c99] and 150 more" in text_of(draw_build(many, 1.0, None))


def test_classes_are_named_with_their_samples_and_with_what_they_lack():
    classes = {"classes": ("cat", "big dog"), "class_samples": {"train": (7_000, 1), "val": (90, 0), "test": (10, 2)}}
    built = altered(BUILT, kind="classes", alphabet={}, folded={}, refused_letters={}, **classes)
    text = text_of(draw_build(built, 1.0, None))
    assert "2 classes: cat 7,100, big dog 3\n" in text
    assert "warning: 1 of 2 classes has no image in val (elsewhere: big dog 3); the best checkpoint" in text
    assert "my shards: classes, layout labels\n" in text and not [
        word for word in ("profile", "bucket") if word in text
    ]


def test_groups_that_do_not_divide_as_asked_are_a_warning():
    few = {"totals": {"train": 60, "val": 40, "test": 0}, "split": "group"}
    text = text_of(draw_build(altered(BUILT, **few), 5.0, None))
    assert "warning: test is empty" in text
    assert "warning: the shares are far from --fractions: train 60.0% (80.0% asked for), val 40.0% (10.0%" in text


@pytest.mark.parametrize(
    ("root", "kind", "command"),
    [
        ("shards", "words", "horovodrun -np 3 -H hosts.txt horovod-ocr train"),
        ("my shards", "words", "horovodrun -np 3 -H hosts.txt horovod-ocr train --shards 'my shards'"),
        ("pets", "classes", "horovodrun -np 3 -H hosts.txt horovod-ocr train --shards pets"),
    ],
)
def test_the_next_command_can_be_pasted(root, kind, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = altered(BUILT, root=Path(root), kind=kind)
    here = command.removeprefix("horovodrun -np 3 -H hosts.txt ")
    assert next_command(report) == f"{here}; on several hosts: {command}"
    (tmp_path / "hosts.txt").write_text("localhost slots=3\n")
    assert next_command(report) == command


@pytest.mark.parametrize(
    ("report", "line"),
    [
        ({"given_splits": (0, 40)}, "splits: by label (no word of val or test is in train)"),
        ({"given_splits": (40, 40)}, "splits: as the source gives them"),
        ({"given_splits": (35, 40)}, "splits: given by the source for 35 of 40, the others by label"),
        ({"given_splits": (0, 40), "split": "file"}, "splits: by file"),
        ({"given_splits": (40, 40), "split": "lists"}, "splits: by lists"),
        (
            {"split": "group", "asked": {**ASKED, "group_from": r"p\d"}},
            r"splits: by group (what 'p\d' finds in the path)",
        ),
    ],
)
def test_the_summary_says_where_the_splits_come_from(report, line):
    assert f"{line}\n" in text_of(draw_build(altered(BUILT, **report), 5.0, None))


def test_an_empty_split_is_a_warning_with_a_command_that_divides_again():
    assert "warning" not in text_of(draw_build(BUILT, 5.0, None))
    given = altered(BUILT, given_splits=(7, 7))
    text = text_of(draw_build(altered(given, totals={"train": 5, "val": 0, "test": 2}), 5.0, None))
    assert "warning: val is empty; give images of it, or divide those there are: horovod-ocr " in text
    assert "shard --split label --fractions 0.8,0.1,0.1 --out NEW_FOLDER; horovod-ocr train --shards NEW_FOLDER" in text
    few = text_of(draw_build(altered(BUILT, totals={"train": 5}), 5.0, None))
    assert "val and test are empty; give more images, or other --fractions and another --out" in few


def test_a_dropped_joiner_is_named_with_the_profile_that_keeps_it():
    text = text_of(draw_build(altered(BUILT, folded={"\u200c → ": 9}), 5.0, None))
    assert (
        'U+200C (zero width non-joiner) was dropped 9 times; a profile file with extends = "urdu" and joiners = false '
        "below [folds] keeps it\n"
    ) in text
    rare = {f"{letter} → ی": 20 for letter in "abcdefghijklm"} | {"\u200c → ": 1}
    text = text_of(draw_build(altered(BUILT, folded=rare), 5.0, None))
    assert "U+200C (zero width non-joiner) was dropped 1 time; a profile file" in text
    assert "and 3 more letters\n" in text
    own = text_of(
        draw_build(altered(BUILT, profile=replace(INDEX.profile, name="mine"), folded={"\u200c → ": 1}), 5.0, None)
    )
    assert "U+200C (zero width non-joiner) was dropped 1 time\n" in own


def test_one_is_in_the_singular():
    text = text_of(
        draw_build(altered(BUILT, shards=INDEX.shards[:1], alphabet={"ا": 5}, folded={"ي → ی": 1}), 5.0, None)
    )
    assert all(part in text for part in ("1 shard,", "1 letter: ا", "1 letter of labels changed"))


def test_the_summary_of_a_proof_has_all_its_numbers():
    text = text_of(draw_proof(PROVED))
    assert all(part in text for part in ("10,000", "12", "2.50 GB", "5.0", "500.0", "everything is as the index says"))
    assert not [word for word in ("warning", "more than one", "made again", "restored") if word in text]


def test_everything_that_is_wrong_is_named():
    wrong = replace(
        PROVED,
        damaged={"train-000001": ("the tar is gone", "and its .idx")},
        problems=("one problem",),
        strays=("val-000009.tar",),
        images_in_two_splits=3,
        repaired=("test-000000",),
        restored_index=True,
    )
    text = text_of(draw_proof(wrong))
    for part in (
        "train-000001: the tar is gone; and its .idx",
        "one problem",
        "warning: ",
        "val-000009.tar",
        "in more than one split: 3 images, 0 labels",
        "made again: test-000000",
        "index.json was restored",
    ):
        assert part in text
    assert "everything" not in text
    assert wrong_of(wrong) == "damaged: 1 of 12 shards; wrong with the set: 1"
    assert wrong_of(replace(wrong, damaged={})) == "wrong with the set: 1"


def test_the_last_lines_can_be_checked_by_a_person():
    checked = altered(
        BUILT,
        rejects={"odd row": 5, "no label": 7},
        entries=10_018,
        duplicates=INDEX.counts.duplicates | {"left out": 6},
        examples=(("images/a.png", "ایک"), ("b.png", "[دو]")),
    )
    assert text_of(draw_build(checked, 5.0, None)).splitlines()[-4:] == [
        "10,018 read: 10,000 packed, 6 copies left out, 12 rejected (7 no label, 5 odd row)",
        "do these labels fit their images?",
        "  images/a.png  ایک",
        "  b.png  [دو]",
    ]


def test_many_rejects_are_a_loud_warning():
    many = altered(BUILT, rejects={"odd row": 1_000}, entries=11_000)
    warning = "WARNING: 9.1% is rejected; look into my shards/rejects.tsv before you train"
    assert warning in text_of(draw_build(many, 5.0, None))
    assert "WARNING" not in text_of(draw_build(BUILT, 5.0, None))


def test_subsets_are_named_and_those_that_look_like_texts_are_a_warning():
    text = text_of(draw_build(altered(BUILT, subsets={"lexicon": 9_000, "": 1_037}), 5.0, None))
    assert "2 subsets: lexicon 9,000, (none) 1,037" in text and "look like texts" not in text
    words = {f"word{number}": 1 for number in range(30)}
    text = text_of(draw_build(altered(BUILT, entries=40, subsets=words), 5.0, None))
    assert "30 subsets: word0 1, word1 1" in text and "warning: so many names of subsets look like texts" in text


def test_damaged_tars_are_a_loud_warning_and_notes_are_printed():
    text = text_of(
        draw_build(altered(BUILT, rejects={"damaged tar": 2}, notes=("labels.csv: the columns x",)), 5.0, None)
    )
    assert "WARNING: 2 damaged tars: everything after the damage is lost" in text
    assert "note: labels.csv: the columns x" in text
