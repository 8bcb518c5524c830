"""What an audit says is what a build does, and it opens each image once."""

import os
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from sharding.audit.audit import audit_source
from sharding.audit.confusables import find_confusables
from sharding.audit.result import Audit, Twin
from sharding.audit.run import AuditRun
from sharding.audit.scan import WatchedSource
from sharding.build import build_shards
from sharding.building.list_sources import list_sources
from sharding.building.resolve import find_sources, rules_of
from sharding.errors import ConfigError, SourceError
from sharding.format.script.profile import build_profile
from sharding.layouts.entry import Reader, Source
from sharding.options import ShardOptions
from sharding.progress import Progress
from sharding.reading.sample_reader import close_sample_reader
from sharding.system.workers import open_workers

opened: list[bytes] | None = None


def note_opened(event: str, args: tuple) -> None:
    if event == "open" and opened is not None and isinstance(args[0], (str, bytes)):
        opened.append(os.fsencode(args[0]))


sys.addaudithook(note_opened)


def options(src, out: Path = Path("never"), **others) -> ShardOptions:
    return ShardOptions.of(**{"src": src, "out": out, "workers": 1, **others})


@pytest.fixture
def messy(tmp_path: Path, make_image) -> Path:
    """A source with one of everything that goes wrong."""
    src, lines = tmp_path / "messy", []
    src.mkdir()

    def add(name: str, content: bytes | None, label: str) -> None:
        if content is not None:
            (src / name).write_bytes(content)
        lines.append(f"{name}\t{label}\n")

    for number in range(120):
        add(f"{number}.png", make_image(number), "کتاب"[: 1 + number % 4] + "ابپت"[number // 4 % 4])
    add("jpeg.jpg", make_image(500, suffix="jpg"), "دن")
    add("webp.webp", make_image(501, suffix="webp"), "رات")
    add("palette.png", make_image(502, mode="P"), "رات")
    add("missing.png", None, "سال")
    add("broken.png", make_image(503)[:60], "سال")
    add("text.png", b"no picture at all", "سال")
    add("nothing.png", b"", "سال")
    add("latin.png", make_image(504), "salاs")
    add("yeh.png", make_image(505), "ندي")
    add("same yeh.png", make_image(506), "ندی")
    add("long.png", make_image(507, (16, 64)), "پاکستان" * 3)
    add("copy.png", make_image(508), "شہر")
    add("copy again.png", make_image(508), "شہر")
    add("conflict.png", make_image(509), "گھر")
    add("conflict too.png", make_image(509), "میز")
    add("invisible.png", make_image(510), "می\u200cز ")
    add("blank.png", make_image(511), " \u200c ")
    (src / "labels.tsv").write_text("".join(lines), encoding="utf-8")
    return src


def agree(audit: Audit, built) -> None:
    assert audit.samples == built.index.counts.totals and audit.found.rejects == built.index.counts.rejects
    assert audit.copies.counts == built.index.counts.duplicates and audit.bucket_edges == built.index.bucket_edges
    assert audit.profile.name == built.index.profile.name and audit.found.read_bytes == built.read_bytes
    assert audit.class_samples == built.index.counts.class_samples


@pytest.mark.slow
@pytest.mark.parametrize(
    "others",
    [{}, {"workers": 2}, {"dedup": True}, {"seed": 5, "split": "file", "check": "header"}, {"profile": "plain"}],
    ids=str,
)
def test_it_says_what_a_build_then_does(messy: Path, tmp_path: Path, others: dict):
    audit = audit_source(options(messy, tmp_path / "out", **others))
    assert not (tmp_path / "out").exists()
    agree(audit, build_shards(options(messy, tmp_path / "out", **others)))


def test_classes_too(tmp_path: Path, make_image):
    for number in range(90):
        folder = tmp_path / "raw" / f"class {number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(make_image(number // 2 if number > 80 else number))
    audit = audit_source(options(tmp_path / "raw"))
    agree(audit, build_shards(options(tmp_path / "raw", tmp_path / "out")))
    assert audit.kind == "classes" and audit.classes == ("class 0", "class 1", "class 2")
    conflicts = audit.found.rejects["conflicting labels"]
    assert conflicts and sum(map(sum, audit.class_samples.values())) == 90 - conflicts
    assert not audit.found.labels.letters
    assert {picture.text for picture in audit.pictures} == set(audit.classes)


class ReadersOnce(Source):
    """A source that knows which of its readers are open, and whose labels cannot be read a second time."""

    def __init__(self, source: Source) -> None:
        self.source, self.root, self.layout, self.labels_apart = source, source.root, source.layout, True
        self.open_readers: list[Reader] = []
        self.were_read: set[bytes] = set()

    def entries(self):
        return self.source.entries()

    def listing(self):
        return self.source.listing()

    def is_as_listed(self, marks):
        return self.source.is_as_listed(marks)

    def open(self) -> Reader:
        readers, inner, were_read = self.open_readers, self.source.open(), self.were_read

        class Once(Reader):
            def read_image(self, path, at, size):
                return inner.read_image(path, at, size)

            def read_label(self, label):
                if label in were_read:
                    raise SourceError("the disk is gone")
                were_read.add(label)
                return inner.read_label(label)

            def close(self):
                readers.remove(self)

        readers.append(Once())
        return readers[-1]


def test_what_is_read_again_to_be_named_is_closed_after_an_error_and_the_scan_keeps_its_reader(
    tmp_path: Path, make_image
):
    for number in range(30):
        (tmp_path / f"{number}.png").write_bytes(make_image(number))
        (tmp_path / f"{number}.gt.txt").write_text("دن", "utf-8")
    asked = options(tmp_path)
    source = ReadersOnce(find_sources(asked)[0])
    (tmp_path / "catalogue").mkdir()
    catalogue, decided = list_sources(tmp_path / "catalogue", [source], asked, lambda progress: None)
    source.were_read.clear()
    watched = WatchedSource(source)
    audit = AuditRun(catalogue, [source], rules_of([watched], catalogue, decided), decided)
    try:
        with open_workers(1) as workers, pytest.raises(SourceError, match="the disk is gone"):
            audit.run(None, workers, lambda progress: None)
        assert source.open_readers == [watched.reader._reader]
    finally:
        close_sample_reader()
    assert not source.open_readers


@pytest.mark.parametrize("layout", ["labels", "beside"])
def test_each_image_is_opened_once(messy: Path, layout: str):
    global opened
    if layout == "beside":
        for line in (messy / "labels.tsv").read_text("utf-8").splitlines():
            name, label = line.split("\t")
            (messy / name).with_suffix(".gt.txt").write_text(label, "utf-8")
        (messy / "labels.tsv").unlink()
    opened = []
    try:
        audit_source(options(messy))
    finally:
        images = Counter(name.rsplit(b"/", 1)[-1] for name in opened if name.endswith((b".png", b".jpg", b".webp")))
        opened = None
    there = {path.name.encode() for path in messy.iterdir() if path.suffix in (".png", ".jpg", ".webp")}
    assert set(images) - {b"missing.png"} == there and set(images.values()) == {1}


def test_it_names_what_it_found(messy: Path):
    audit = audit_source(options(messy))
    found = audit.found
    assert found.rejects == {
        "conflicting labels": 2,
        "damaged image": 1,
        "empty file": 1,
        "empty label": 1,
        "label too long": 1,
        "missing image": 1,
        "not an image": 1,
        "unknown letters": 1,
    }
    assert found.examples["missing image"] == [("missing.png", "")]
    assert [path for path, _ in found.examples["unknown letters"]] == ["latin.png"]
    assert found.labels.refused == {"s": 2, "a": 1, "l": 1}
    assert found.labels.folded["\u064a \u2192 \u06cc"] == 1 and found.labels.folded["\u200c \u2192 "] == 1
    assert ("\u064a", "\u06cc", 1) in audit.labels.changed_letters and ("\u200c", "", 2) in audit.labels.changed_letters
    assert found.labels.changed == 3  # yeh, invisible, blank
    assert found.formats == {(b"\x89P", False): 127, (b"\x89P", True): 1, (b"\xff\xd8", False): 1, (b"RI", True): 1}
    (pair,) = [pair for pair in audit.labels.confusables if "\u064a" in pair[:2]]
    assert pair.folded and not pair.refused and (pair.letter, pair.other) == ("\u064a", "\u06cc")
    (twin,) = audit.copies.conflicts
    labels = {twin.path: twin.label, twin.other_path: twin.other_label}
    assert labels == {"conflict.png": "گھر", "conflict too.png": "میز"}
    assert {*audit.copies.examples[0]} >= {"copy.png", "copy again.png", "شہر"} and len(audit.copies.examples) == 1
    assert audit.labels.often[0][1] > 1 and dict(audit.labels.often)["ندی"] == 2
    texts = [picture.text for picture in audit.rejected_pictures]
    assert texts == ["damaged image", "empty label", "label too long", "not an image", "unknown letters"]


def test_letters_and_lengths_are_those_of_the_labels(make_words):
    src = make_words(300)
    audit = audit_source(options(src))
    labels = [line.split("\t")[1] for line in (src / "labels.tsv").read_text("utf-8").splitlines()[1:]]
    assert sum(audit.found.letters, Counter()) == Counter("".join(labels)) == audit.found.labels.letters
    assert audit.found.lengths == Counter(map(len, labels))
    assert audit.labels.distinct == len(set(labels))
    assert audit.labels.single == sum(count == 1 for count in Counter(labels).values())
    assert [count for _, count in audit.labels.often] == [c for _, c in Counter(labels).most_common(20) if c > 1]
    widths, counts = audit.found.sizes["width"]
    assert widths.tolist() == [64, 96, 160] and counts.tolist() == [100, 100, 100]
    assert len(audit.pictures) == 100
    assert audit.found.subsets.total() == 300


@pytest.mark.slow
def test_the_same_for_any_number_of_workers(messy: Path):
    one, two = (audit_source(options(messy, workers=workers)) for workers in (1, 2))
    for name in ("examples", "rejects", "rejected_pictures", "pictures", "letters", "formats"):
        assert getattr(one.found, name) == getattr(two.found, name)
    assert one.pictures == two.pictures


@pytest.mark.slow
def test_a_sample_is_about_as_large_as_asked_for_and_the_same_again(make_words):
    src, seen = make_words(1000), []
    audits = [audit_source(options(src), sample=300, report=seen.append) for _ in range(2)]
    assert audits[0].entries == 1000 and 230 < audits[0].looked_at < 370
    assert audits[0].looked_at == audits[1].looked_at == sum(audits[0].samples.values())
    assert audits[0].pictures == audits[1].pictures == audit_source(options(src)).pictures
    assert seen[-1] == Progress("reading", audits[0].looked_at, audits[0].looked_at, audits[0].found.read_bytes)
    assert audit_source(options(src), sample=5000).looked_at == 1000
    with pytest.raises(ConfigError, match="at least 1"):
        audit_source(options(src), sample=0)


def test_copies_across_splits_are_found_and_named(tmp_path: Path, make_image):
    src = tmp_path / "raw"
    src.mkdir()
    for name, number in (("a", 1), ("b", 1), ("c", 2), ("d", 3)):
        (src / f"{name}.png").write_bytes(make_image(number))
    (src / "train.tsv").write_text("a.png\tدن\nc.png\tدن\n", "utf-8")
    (src / "test.tsv").write_text("b.png\tدن\nd.png\tدن\n", "utf-8")
    audit = audit_source(options(src))
    assert audit.copies.counts == {"same split": 0, "across splits": 1, "left out": 0}
    assert audit.copies.examples == [Twin("a.png", "دن", "train", "b.png", "دن", "test")]


def test_nothing_that_can_be_used_is_no_error_but_no_source_is(tmp_path: Path):
    (tmp_path / "labels.tsv").write_text("gone.png\tدن\n", "utf-8")
    audit = audit_source(options(tmp_path))
    assert audit.packed == 0 and audit.found.rejects == {"missing image": 1}
    assert audit.bucket_edges == () and audit.buckets.shape == (3, 0)
    with pytest.raises(SourceError):
        audit_source(options(tmp_path / "nowhere"))


@pytest.mark.slow
def test_only_so_many_examples_are_kept_of_each_reason(make_words, tmp_path: Path):
    src = make_words(1500)
    for path in sorted((src / "images").iterdir())[::2]:
        path.write_bytes(b"broken")
    audit = audit_source(options(src))
    assert audit.found.rejects == {"not an image": 750}
    assert len(audit.found.examples["not an image"]) == 20 and len(audit.rejected_pictures) == 12


def test_look_alikes_are_pairs_of_letters_that_both_occur():
    urdu = build_profile("urdu")
    pairs = find_confusables(
        {"\u064a": 3, "\u06cc": 9, "\u0643": 1, "a": 5, "\u0430": 2, "\ufeed": 1, "\u0648": 1}, urdu
    )
    by_letters = {frozenset(pair[:2]): pair for pair in pairs}
    assert set(by_letters) == {frozenset(pair) for pair in ("\u064a\u06cc", "a\u0430", "\ufeed\u0648")}
    assert by_letters[frozenset("\u064a\u06cc")].folded and by_letters[frozenset("a\u0430")].refused
    assert by_letters[frozenset("\ufeed\u0648")].folded  # one letter in two shapes
    unfolded = build_profile("urdu", yeh=False)
    assert not find_confusables({"\u064a": 3, "\u06cc": 9}, unfolded)[0].folded
    latin = find_confusables({"l": 4, "I": 2, "1": 9}, build_profile("latin"))
    assert len(latin) == 3 and not any(pair.folded or pair.refused for pair in latin)


def test_every_look_alike_of_the_table_is_a_letter_of_its_own():
    from sharding.audit.confusables import _LOOK_ALIKES

    for group in _LOOK_ALIKES:
        assert len(group) > 1 and len(set(group)) == len(group)
        assert all(unicodedata.name(letter, "") for letter in group)
