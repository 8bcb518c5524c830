"""Splits: by hash, in the asked shares, stable when data grows; by group, file or lists; given ones kept."""

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from sharding.building import groups
from sharding.errors import SourceError
from sharding.reading.hashes import hash_paths
from sharding.reading.split import UNDECIDED, SplitLists, SplitRule
from sharding.reasons import Rejected

ROOT = Path(__file__).parents[4]


def splits(count: int, **rule) -> list[int]:
    return [SplitRule(**rule).choose(f"word{number}", b"") for number in range(count)]


def test_the_shares_are_as_asked():
    counts = Counter(splits(20_000, seed=7))
    assert abs(counts[0] / 20_000 - 0.8) < 0.01
    assert abs(counts[1] / 20_000 - 0.1) < 0.01
    assert set(splits(50, fractions=(0.0, 0.0, 1.0))) == {2}
    assert set(splits(50, fractions=(0.0, 1.0, 0.0))) == {1}


def test_a_split_depends_on_seed_and_unit_alone():
    assert splits(200, seed=1) == splits(200, seed=1) != splits(200, seed=2)


def test_a_hash_is_the_same_on_every_machine():
    assert hash_paths(b"order 0", [b"images/1.png"], 1).tolist() == [16511976375930422797]


@pytest.fixture
def source(tmp_path: Path, make_image):
    """write(count) -> a source of so many images of 10 pages; every third label is the same one."""
    src = tmp_path / "raw"
    src.mkdir()

    def write(count: int) -> Path:
        rows = []
        for number in range(count):
            name = f"page{number % 10}-{number}.png"
            (src / name).write_bytes(make_image(number))
            rows.append(f"{name}\t{'اب' * (number % 3)}{'پتٹ'[number % 2]}\n")
        (src / "labels.tsv").write_text("".join(rows), encoding="utf-8")
        return src

    return write


@pytest.fixture
def split_of(build, read_packed, make_image):
    """split_of(src, out, **options) -> (name of each image -> its split, the report)."""

    def splits_of(src: Path, out: Path, **options) -> tuple[dict[str, str], object]:
        names = {path.read_bytes(): path.name for path in src.rglob("*.png")}
        report = build(src, out, **options)
        return {names[image]: split for split, image, _ in read_packed(out)}, report

    return splits_of


@pytest.mark.parametrize(
    "options", [{}, {"split": "label"}, {"split": "file"}, {"group_from": r"page\d"}], ids=lambda options: str(options)
)
def test_samples_keep_their_split_when_the_source_grows(source, split_of, tmp_path: Path, options: dict):
    asked = {**options, "fractions": (0.4, 0.3, 0.3)}
    before, _ = split_of(source(60), tmp_path / "before", **asked)
    after, _ = split_of(source(150), tmp_path / "after", **asked)
    assert (len(before), len(after)) == (60, 150)
    assert before.items() <= after.items()
    assert len(set(before.values())) > 1


def test_a_group_is_never_cut(source, split_of, read_list, tmp_path: Path):
    src = source(120)
    (src / "page7-7.png").rename(src / "nopage.png")
    rows = (src / "labels.tsv").read_text("utf-8").replace("page7-7.png", "nopage.png")
    (src / "labels.tsv").write_text(rows, encoding="utf-8")
    for number, pattern in enumerate((r"page\d", r"^page(\d)", r"^(?:page)(\d+)-")):
        out = tmp_path / f"out{number}"
        of, report = split_of(src, out, group_from=pattern, fractions=(0.4, 0.3, 0.3))
        pages = defaultdict(set)
        for name, split in of.items():
            pages[name[:5]].add(split)
        assert len(pages) == 10
        assert all(len(found) == 1 for found in pages.values())
        assert len(set.union(*pages.values())) > 1
        assert report.index.counts.rejects == {"no group": 1}
        assert re.fullmatch(r"10 groups in 119 images, the largest, '(page)?\d', of 12", *report.notes)
        assert [row["path"] for row in read_list(out / "rejects.tsv")] == ["nopage.png"]


def test_a_pattern_that_keeps_nothing_together_is_told(source, split_of, tmp_path: Path, monkeypatch):
    src = source(30)
    report = split_of(src, tmp_path / "each", group_from=r"\d+-\d+")[1]
    (note,) = report.notes
    assert note.startswith("30 groups in 30 images, the largest, '0-0', of 1: each image is a group of its own, ")
    monkeypatch.setattr(groups, "_MOST", 20)
    (note,) = split_of(src, tmp_path / "first", group_from=r"page\d")[1].notes
    assert note == "10 groups in 20 images (of the first 20 entries), the largest, 'page0', of 2"
    assert split_of(src, tmp_path / "none")[1].notes == ()


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (
            r"(IM-\d+|person\d+)",
            [
                ["NORMAL/IM-0033-0001.jpeg", "NORMAL/IM-0033-0001-0002.jpeg", "NORMAL/NORMAL2-IM-0033-0001.jpeg"],
                ["PNEUMONIA/person994_virus_1672.jpeg", "PNEUMONIA/person994_bacteria_2.jpeg"],
                ["PNEUMONIA/person99_virus_1.jpeg"],
            ],
        ),
        (
            r"(\d*?)\d{0,2}\.jpg$",
            [["A/A1.jpg", "A/A99.jpg", "B/B07.jpg"], ["A/A100.jpg", "Del/Del111.jpg"], ["A/A3000.jpg"]],
        ),
    ],
)
def test_the_documented_patterns_group_the_images_of_class_folders(pattern, groups):
    assert pattern in (ROOT / "docs/classes.md").read_text("utf-8").replace("\\|", "|")
    together = set()
    for seed in range(50):
        rule = SplitRule("group", seed, (0.4, 0.3, 0.3), pattern)
        found = [{rule.choose("", path.encode()) for path in paths} for paths in groups]
        assert all(len(splits) == 1 for splits in found)
        together.add(tuple(splits.pop() for splits in found))
    assert all(len({splits[n] == splits[m] for splits in together}) == 2 for n in range(len(groups)) for m in range(n))


def split_by(pattern: str, seed: int, path: str) -> int:
    return SplitRule("group", seed, (0.4, 0.3, 0.3), pattern).choose("", path.encode())


def test_alternatives_are_groups_of_their_own():
    """`(a)|(b)`: for a match of the second one, the first takes no part."""
    paths = ["NORMAL/IM-0033-1.jpeg", "PNEUMONIA/person1_virus_1.jpeg", "PNEUMONIA/person2_virus_1.jpeg"]
    together = set()
    for seed in range(50):
        splits = [split_by(r"(IM-\d+)|(person\d+)", seed, path) for path in paths]
        assert splits == [split_by(r"(IM-\d+|person\d+)", seed, path) for path in paths]
        together.add(splits[1] == splits[2])
    assert together == {True, False}, "two persons are two groups"


def test_an_empty_group_is_a_group_and_none_is_a_reject():
    assert split_by(r"^(\d*)[a-z]", 1, "a.png") == split_by(r"^(\d*)[a-z]", 1, "b.png")
    assert split_by(r"^(x)?(\d*)[a-z]", 1, "a.png") == split_by(r"^(\d*)[a-z]", 1, "b.png")
    for pattern in (r"page(\d+)?", r"(x)|page"):
        with pytest.raises(Rejected, match="no group") as rejected:
            split_by(pattern, 1, "page.png")
        assert rejected.value.explained == f"no group (no group of {pattern!r} takes part)"


def test_by_file_equal_labels_may_part_and_by_label_they_may_not(source, build, read_packed, tmp_path: Path):
    for split, parts in (("file", True), ("label", False)):
        build(source(100), tmp_path / split, split=split)
        found = defaultdict(set)
        for where, _, label in read_packed(tmp_path / split):
            found[label].add(where)
        assert any(len(splits) > 1 for splits in found.values()) == parts


def write_lists(folder: Path, **names: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for split, lines in names.items():
        (folder / f"{split}.txt").write_bytes("".join(f"{line}\n" for line in lines).encode())
    return folder


def test_lists_decide_and_without_one_for_train_the_rest_is_train(source, split_of, read_list, tmp_path: Path):
    src = source(60)
    names = sorted(path.name for path in src.glob("*.png"))
    lists = write_lists(tmp_path / "lists", val=names[:20], test=["./" + name for name in names[20:25]])
    (lists / "val.txt").write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n".join(name.encode() + b"\tx" for name in names[:20]))
    wanted = dict.fromkeys(names[:20], "val") | dict.fromkeys(names[20:25], "test")
    of, report = split_of(src, tmp_path / "rest", split_lists=lists)
    assert of == {**dict.fromkeys(names, "train"), **wanted}
    assert report.index.counts.rejects == {}
    write_lists(lists, train=[*names[25:50], "unknown.png"])
    of, report = split_of(src, tmp_path / "named", split_lists=lists)
    assert of == {**dict.fromkeys(names[25:50], "train"), **wanted}
    assert report.index.counts.rejects == {"in no list": 10}
    assert [row["path"] for row in read_list(tmp_path / "named" / "rejects.tsv")] == names[50:]


def test_a_path_in_two_lists_is_refused_and_so_are_no_lists(source, split_of, tmp_path: Path):
    lists = write_lists(tmp_path / "lists", train=["a", "b", "b"], test=["b", "a"])
    with pytest.raises(SourceError, match="name 2 paths in more than one split"):
        split_of(source(3), tmp_path / "out", split_lists=lists)
    (tmp_path / "none").mkdir()
    for folder in (tmp_path / "none", tmp_path / "missing"):
        with pytest.raises(SourceError, match="holds no train.txt, val.txt or test.txt"):
            split_of(source(3), tmp_path / "out", split_lists=folder)


def test_lists_say_nothing_of_what_they_do_not_name(tmp_path: Path):
    lists = SplitLists(write_lists(tmp_path, train=["a"], val=[], test=["ü"]))
    assert lists.splits_of([b"a", "ü".encode(), b"c", b""]).tolist() == [0, 2, UNDECIDED, UNDECIDED]
    assert lists.splits_of([]).tolist() == []
    empty = SplitLists(write_lists(tmp_path / "empty", train=[]))
    assert empty.splits_of([b"a"]).tolist() == [UNDECIDED]
    rest = SplitLists(write_lists(tmp_path / "rest", val=[]))
    assert rest.splits_of([b"a"]).tolist() == [0]
    assert len({lists.digest, empty.digest, rest.digest}) == 3


def test_the_order_of_a_list_does_not_change_its_digest(tmp_path: Path):
    first = SplitLists(write_lists(tmp_path, val=["a", "b"], test=["c"]))
    again = SplitLists(write_lists(tmp_path, val=["b", "./a", "b"], test=["c"]))
    other = SplitLists(write_lists(tmp_path, val=["b"], test=["c", "a"]))
    assert first.digest == again.digest != other.digest


@pytest.mark.slow
def test_given_splits_win_unless_another_is_asked_for(tmp_path: Path, make_image, split_of):
    src = tmp_path / "raw"
    src.mkdir()
    for number in range(60):
        (src / f"{number}.png").write_bytes(make_image(number))
    rows = [f"{number}.png\t{'اب' * (number % 3)}{'پتٹ'[number % 2]}\n" for number in range(60)]
    (src / "train.tsv").write_text("".join(rows[:20]), encoding="utf-8")
    (src / "val.tsv").write_text("".join(rows[20:]), encoding="utf-8")
    given = {f"{number}.png": "train" if number < 20 else "val" for number in range(60)}
    assert split_of(src, tmp_path / "given")[0] == given
    for number, options in enumerate(({"split": "file"}, {"split": "label"}, {"group_from": r"\d"})):
        of, _ = split_of(src, tmp_path / f"asked{number}", **options)
        assert of.keys() == given.keys()
        assert of != given
    lists = write_lists(tmp_path / "lists", val=["5.png"])
    of, _ = split_of(src, tmp_path / "listed", split_lists=lists)
    assert of == {**dict.fromkeys(given, "train"), "5.png": "val"}


def test_lines_of_lists_in_any_spelling_and_those_that_match_nothing(source, split_of, tmp_path: Path):
    src = source(20)
    (src / "sub").mkdir()
    names = sorted(path.name for path in src.glob("*.png"))
    for name in names:
        (src / name).rename(src / "sub" / f"é{name}")
    rows = [line.split("\t") for line in (src / "labels.tsv").read_text("utf-8").splitlines()]
    lines = ["\t".join([f"sub/é{row[0]}", *row[1:]]) if row[0] in names else "\t".join(row) for row in rows]
    (src / "labels.tsv").write_text("\n".join(lines), encoding="utf-8")
    val = [f"sub\\é{names[0]}", f"./sub/e\u0301{names[1]}", f"sub//é{names[2]}"]
    lists = write_lists(tmp_path / "lists", dev=val)
    of, report = split_of(src, tmp_path / "out", split_lists=lists)
    assert sorted(of.values()).count("val") == 3 and report.notes == ()
    write_lists(lists, dev=[*val, f"sub/{names[3]}"])
    with pytest.raises(SourceError, match=r"1 line matches no image.*\(dev.txt, line 4\).*trained on"):
        split_of(src, tmp_path / "lost", split_lists=lists)
    write_lists(lists, train=[f"sub/é{name}" for name in names[3:]])
    _, report = split_of(src, tmp_path / "told", split_lists=lists)
    assert "1 line matches no image of the source, such as sub/" in report.notes[0]
    write_lists(tmp_path / "none", train=["x.png"], test=["y.png", "z.png"])
    with pytest.raises(SourceError, match="3 lines match no image of the source, such as x.png .*in no split"):
        split_of(src, tmp_path / "nothing", split_lists=tmp_path / "none")
