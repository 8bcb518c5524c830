"""rejects.tsv and duplicates.tsv: for people, the same for every order of the source."""

import random
from pathlib import Path

import pytest

from sharding.errors import SourceError
from sharding.packing import left_out


def write_mixed(root: Path, make_image, seed: int) -> Path:
    """Good images, copies, conflicts and missing ones; seed: of the order of their lines."""
    root.mkdir()
    rows = []
    for number in range(40):
        (root / f"{number}.png").write_bytes(make_image(number % 30))
        rows.append(f"{number}.png\t{'دن' if number != 35 else 'رات'}\n")
    rows += [f"none{number}.png\tدن\n" for number in range(5)]
    rows += ["\tدن\n", "1.png\n", "2.png\tدن\n"]
    random.Random(seed).shuffle(rows)
    rows.insert(0, "path\tlabel\n")
    (root / "labels.tsv").write_text("".join(rows), encoding="utf-8")
    return root


def test_both_lists_are_the_same_for_any_order_of_the_source(build, make_image, read_list, tmp_path: Path):
    for seed in (1, 2):
        report = build(write_mixed(tmp_path / f"raw{seed}", make_image, seed), tmp_path / f"out{seed}", dedup=True)
    assert report.index.counts.rejects == {
        "conflicting labels": 2,
        "listed twice": 1,
        "missing image": 5,
        "no path": 1,
        "two labels": 2,
    }
    # 1.png cannot be trusted, so 31.png is no copy; 5.png and 35.png contradict each other
    assert report.index.counts.duplicates == {"same split": 8, "across splits": 0, "left out": 8}
    names = ("duplicates.tsv", "rejects.tsv")
    first, second = ([(tmp_path / f"out{seed}" / name).read_text("utf-8") for name in names] for seed in (1, 2))
    assert first[0] == second[0]
    lines = [[line for line in text.splitlines() if "no path" not in line] for text in (first[1], second[1])]
    assert lines[0] == lines[1]  # a line without a path is named by its number
    rejects = read_list(tmp_path / "out1" / "rejects.tsv")
    assert {row["path"]: row["detail"] for row in rejects if row["reason"] == "conflicting labels"} == {
        "5.png": "the same image as 35.png",
        "35.png": "the same image as 5.png",
    }
    assert len(rejects) == sum(report.index.counts.rejects.values()) == 11


def test_lists_too_long_to_be_sorted_are_complete(build, make_image, read_list, tmp_path: Path, monkeypatch):
    src = write_mixed(tmp_path / "raw", make_image, 1)
    build(src, tmp_path / "sorted")
    monkeypatch.setattr(left_out, "_SORTED_LINES", 3)
    build(src, tmp_path / "as they come")
    for name in ("rejects.tsv", "duplicates.tsv"):
        first, second = ((tmp_path / out / name).read_text("utf-8").splitlines() for out in ("sorted", "as they come"))
        assert first != second
        assert first[0] == second[0]
        assert sorted(first) == sorted(second)


def test_what_a_name_holds_breaks_no_line(build, make_image, read_list, tmp_path: Path):
    src = tmp_path / "raw"
    src.mkdir()
    for name in ("a\tb.png", "c\nd.png", "e\rf.png", "g\u2028h.png", "i.png", "j\x1ck.png"):
        (src / name).write_bytes(make_image(1) if name == "i.png" else b"")
        (src / name.replace(".png", ".txt")).write_text("دن", encoding="utf-8")
    (src / "bad.png").write_bytes(make_image(2))
    (src / "bad.txt").write_bytes(b"\xd8\xaf\tq\x0b\xff")
    report = build(src, tmp_path / "out", profile="urdu")
    assert report.index.counts.rejects == {"empty file": 5, "label is not UTF-8": 1}
    content = (tmp_path / "out" / "rejects.tsv").read_bytes()
    assert content.count(b"\n") == 1 + 6
    assert all(line.count(b"\t") == 2 for line in content.splitlines())
    names = {row["path"] for row in read_list(tmp_path / "out" / "rejects.tsv")}
    assert names == {"a b.png", "c d.png", "e f.png", "g h.png", "j k.png", "bad.png"}


def test_nothing_usable_is_said_with_counts(build, read_list, tmp_path: Path, make_image):
    src, out = tmp_path / "raw", tmp_path / "out"
    src.mkdir()
    (src / "a.png").write_bytes(make_image())
    (src / "labels.tsv").write_text("a.png\tabc\nb.png\tدن\nc.png\tدن\n", encoding="utf-8")
    with pytest.raises(SourceError, match="can be used: 2 missing image, 1 unknown letters; .*rejects.tsv says why"):
        build(src, out, profile="urdu")
    rejects = [(row["path"], row["reason"]) for row in read_list(out / "rejects.tsv")]
    assert rejects == [("a.png", "unknown letters"), ("b.png", "missing image"), ("c.png", "missing image")]
    assert not (out / "index.json").exists()
    (src / "b.png").write_bytes(make_image())  # a file server that was away, and is back
    assert build(src, out, profile="urdu").index.counts.rejects == {"missing image": 1, "unknown letters": 1}


@pytest.mark.parametrize(
    ("folders", "names"),
    [(["a"], [""]), (["a", "b"], ["a/", "b/"]), (["one/raw", "two/raw"], ["1-raw/", "2-raw/"])],
)
def test_lists_tell_several_sources_apart(tmp_path: Path, make_image, build, read_list, folders: list, names: list):
    for number, folder in enumerate(folders):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "good.png").write_bytes(make_image(number))
        lines = "good.png\tدن\ngone.png\tدن\n"
        (tmp_path / folder / "labels.tsv").write_text(lines, encoding="utf-8")
    build(tuple(tmp_path / folder for folder in folders), tmp_path / "out")
    assert [row["path"] for row in read_list(tmp_path / "out" / "rejects.tsv")] == [f"{name}gone.png" for name in names]
