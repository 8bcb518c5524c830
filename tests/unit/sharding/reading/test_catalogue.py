"""The catalogue: what the sources gave comes back, from the disk, for any order of the source."""

import os
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharding.errors import ConfigError, SourceError
from sharding.format.splits import SPLITS
from sharding.layouts.entry import Entry
from sharding.reading import listing
from sharding.reading.catalogue import ENTRY, open_catalogue
from sharding.reading.listing import write_catalogue
from sharding.reading.split import UNDECIDED
from tests.unit.sharding.conftest import hash_of


class Listing:
    """A source that is nothing but its listing."""

    def __init__(self, entries: list[Entry], kind: str = "words") -> None:
        self.root, self.kind, self._entries = Path("listing"), kind, entries

    def entries(self):
        return iter(self._entries)

    def notes(self):
        return []

    def pictures(self):
        return iter(())


def write(folder: Path, *listings: list[Entry], seed: int = 0, kind: str = "words", **options):
    folder.mkdir(exist_ok=True)
    sources = [Listing(entries, kind) for entries in listings]
    return write_catalogue(folder, sources, seed, lambda progress: None, **options)


ENTRIES = st.lists(
    st.builds(
        Entry,
        path=st.binary(min_size=1, max_size=12),
        label=st.one_of(st.none(), st.binary(max_size=12)),
        subset=st.sampled_from(["", "b", "a", "ü"]),
        split=st.sampled_from(["", *SPLITS]),
        problem=st.sampled_from(["", "", "no path", "missing image"]),
        at=st.integers(0, 2**63),
        size=st.integers(0, 2**32 - 1),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda entry: entry.path,
).map(lambda entries: [entry if entry.size else entry._replace(at=0) for entry in entries])


@pytest.mark.slow
@given(listings=st.lists(ENTRIES, min_size=1, max_size=3), batch=st.integers(1, 9), scan=st.integers(1, 9))
@settings(max_examples=60)
def test_what_was_listed_comes_back(tmp_path_factory, listings, batch, scan):
    folder = tmp_path_factory.getbasetemp() / "catalogue"
    with patch.object(listing, "_BATCH", batch), patch.object(listing, "SCAN", scan):
        catalogue = write(folder, *listings, seed=3)
    assert open_catalogue(folder) == catalogue
    flat = [(source, entry) for source, entries in enumerate(listings) for entry in entries]
    assert catalogue.entries == len(flat)
    assert catalogue.subsets == tuple(sorted({"", *(entry.subset for _, entry in flat)}))
    middle = len(flat) // 2
    listed = catalogue.read(0, middle) + catalogue.read(middle, len(flat))
    assert catalogue.read(0, 0) == []
    for number, (found, (source, entry)) in enumerate(zip(listed, flat, strict=True)):
        assert (found.number, found.source, found.path, found.label) == (number, source, entry.path, entry.label)
        assert catalogue.subsets[found.subset] == entry.subset
        assert found.split == (SPLITS.index(entry.split) if entry.split else UNDECIDED)
        assert (found.problem, found.image_at, found.image_size) == (entry.problem, entry.at, entry.size)
    numbers = list(range(len(flat)))[::-2]
    assert list(catalogue.pick(numbers)) == [listed[number] for number in numbers]
    paths = [(f"order 3 {source}" if source else "order 3", os.fsdecode(entry.path)) for source, entry in flat]
    assert catalogue.order(0, len(flat)).tolist() == [hash_of(*path) for path in paths]
    assert sorted(catalogue.first_in_order(len(flat))) == listed


@pytest.mark.slow
@given(
    entries=st.lists(
        st.builds(
            Entry,
            path=st.sampled_from([b"a", b"b", b"c", b"\xff"]),
            label=st.sampled_from([None, b"", b"x", b"x", b"y"]),
            subset=st.sampled_from(["", "", "s"]),
            split=st.sampled_from(["", "", "val"]),
            problem=st.just(""),
            at=st.just(0),
            size=st.just(0),
        ),
        min_size=1,
        max_size=12,
    ),
    sources=st.integers(1, 2),
    batch=st.integers(1, 5),
)
@settings(max_examples=60)
def test_what_is_named_again_stays_once_or_not_at_all(tmp_path_factory, entries, sources, batch):
    folder = tmp_path_factory.getbasetemp() / "repeats"
    with patch.object(listing, "SCAN", batch):
        catalogue = write(folder, *[entries] * sources)  # another source's paths are other images
    problems = [entry.problem for entry in catalogue.read(0, catalogue.entries)]
    wanted = []
    for position, entry in enumerate(entries):
        same = [other for other in entries if other.path == entry.path]
        again = "listed twice" if entry in entries[:position] else ""
        wanted.append(again if len(set(same)) == 1 else "two labels")
    assert problems == wanted * sources


def test_the_given_splits_are_not_taken_where_another_is_asked_for(tmp_path: Path):
    entries = [Entry(b"a", b"x", split="val"), Entry(b"a", b"x", split="test")]
    assert {entry.split for entry in write(tmp_path, entries, keep_splits=False).read(0, 2)} == {UNDECIDED}
    # what is named for two splits is one image where the splits are made here
    assert [entry.problem for entry in write(tmp_path, entries, keep_splits=False).read(0, 2)] == ["", "listed twice"]
    assert [entry.problem for entry in write(tmp_path, entries).read(0, 2)] == ["two labels"] * 2


def test_more_subsets_or_sources_than_fit_are_refused(tmp_path: Path):
    entries = [Entry(b"%d" % number, b"x", subset=f"s{number}") for number in range(300)]
    assert len(write(tmp_path, entries[:254]).subsets) == 255
    with pytest.raises(SourceError, match="more than 255 different subsets; remove the column"):
        write(tmp_path, entries)
    assert open_catalogue(tmp_path) is None  # what was half written is no catalogue
    with pytest.raises(ConfigError, match="256 sources; at most 255 fit"):
        write(tmp_path, *[entries[:1]] * 256)


def test_a_source_without_entries_is_said(tmp_path: Path):
    with pytest.raises(SourceError, match="listing: the label files name no image"):
        write(tmp_path, [])


def test_classes_are_sorted_over_all_sources(tmp_path: Path):
    listings = [[Entry(b"1", b"zebra"), Entry(b"2", None)], [Entry(b"1", "چیونٹی".encode()), Entry(b"2", b"ant\xff")]]
    assert write(tmp_path, *listings, kind="classes").classes == ("zebra", "چیونٹی")
    assert open_catalogue(tmp_path).classes == ("zebra", "چیونٹی")


def test_what_is_not_whole_is_no_catalogue(tmp_path: Path):
    write(tmp_path, [Entry(b"a", b"x"), Entry(b"b", b"y")])
    for name in ("entries.bin", "order.bin", "texts.bin", "catalogue.json"):
        whole = (tmp_path / name).read_bytes()
        for damage in (whole[:-1], whole[: len(whole) // 2], b"", None):
            if damage is None:
                (tmp_path / name).unlink()
            else:
                (tmp_path / name).write_bytes(damage)
            found = open_catalogue(tmp_path)
            assert found is None or (name == "catalogue.json" and damage == whole[:-1])  # its last line end
        (tmp_path / name).write_bytes(whole)
    assert open_catalogue(tmp_path).entries == 2


def test_the_first_in_order_are_a_fair_sample_and_the_same_for_any_order(tmp_path: Path):
    entries = [Entry(b"%d.png" % number, b"x") for number in range(3000)]
    found = []
    for name, listed in (("one", entries), ("other", entries[::-1])):
        picked = list(write(tmp_path / name, listed).first_in_order(300))
        found.append({entry.path for entry in picked})
        assert 200 < len(picked) < 400
    assert found[0] == found[1]
    orders = {entry.path: hash_of("order 0", entry.path.decode()) for entry in entries}
    assert max(orders[path] for path in found[0]) < min(orders[path] for path in orders.keys() - found[0])
    numbers = [int(path[:-4]) for path in found[0]]
    assert Counter(number // 1000 for number in numbers).keys() == {0, 1, 2}


def test_records_are_small():
    assert ENTRY.itemsize + 8 <= 40  # bytes an entry beside its path and label: 1.4 GB for 35 M
    assert np.dtype(ENTRY).names[0] == "text_at"


def test_given_splits_are_counted_among_the_entries_that_may_be_used(tmp_path: Path):
    entries = [Entry(b"%d.png" % number, b"x", split=("train", "val", "")[number % 3]) for number in range(30)]
    entries.append(Entry(b"a.png", None, problem="in no label file"))
    entries.append(Entry(b"b.png", None, split="test", problem="no path"))
    with patch("sharding.reading.catalogue.SCAN", 7):
        assert write(tmp_path / "given", entries).count_given_splits() == (20, 30)
    assert write(tmp_path / "rule", entries, keep_splits=False).count_given_splits() == (0, 30)
