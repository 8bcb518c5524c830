"""The same image more than once: against a model that holds all samples in a dict."""

import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharding.arranging import duplicates
from sharding.arranging.duplicates import count_samples, find_duplicates
from sharding.reading.hashes import is_among


class Copy(NamedTuple):
    digest: int
    label_hash: int
    split: int
    order: int


# few digests and labels, so that many are equal; orders of all sizes
COPIES = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2, 3, 2**63, 2**64 - 1]),
        st.sampled_from([0, 0, 0, 2**64 - 1]),
        st.integers(0, 2),
        st.integers(0, 2**64 - 1),
    ),
    max_size=40,
    unique_by=lambda copy: copy[3],
)


def model(copies: list[Copy]) -> tuple[list[int], dict[int, int]]:
    """(the entries that contradict each other, each further copy -> the one that stays)."""
    groups = defaultdict(list)
    for entry, copy in enumerate(copies):
        groups[copy.digest].append(entry)
    conflicts, others = [], {}
    for entries in groups.values():
        if len({copies[entry].label_hash for entry in entries}) > 1:
            conflicts += entries
        else:
            stays = min(entries, key=lambda entry: (-copies[entry].split, copies[entry].order))
            others |= {entry: stays for entry in entries if entry != stays}
    return sorted(conflicts), others


@pytest.mark.slow
@given(copies=COPIES, range_size=st.integers(1, 15), together=st.integers(1, 4), leave_out=st.booleans())
@settings(max_examples=150)
def test_every_copy_is_found_and_one_of_each_stays(write_spool, copies, range_size, together, leave_out):
    copies = [Copy(*copy) for copy in copies]
    order = np.array([copy.order for copy in copies], np.uint64)
    with tempfile.TemporaryDirectory() as folder, patch.object(duplicates, "_TOGETHER", together):
        spools = []
        for first in range(0, len(copies), range_size):
            part = list(enumerate(copies))[first : first + range_size]
            samples = [
                {"entry": entry, "digest": copy.digest, "label_hash": copy.label_hash, "split": copy.split}
                for entry, copy in part
            ]
            spools.append(write_spool(Path(folder, str(first)), samples, order[first : first + range_size], first))
        counts, repeated = count_samples(spools, len(copies))
        found = find_duplicates(spools, repeated, leave_out)
    assert counts.sum(axis=1).tolist() == [sum(copy.split == split for copy in copies) for split in range(3)]
    digests = Counter(copy.digest for copy in copies)
    assert repeated.tolist() == sorted(digest for digest, count in digests.items() if count > 1)
    conflicts, others = model(copies)
    assert sorted(found.conflicts["entry"].tolist()) == conflicts
    for row in found.conflicts:
        one, other = copies[row["entry"]], copies[row["other"]]
        assert one.digest == other.digest and one.label_hash != other.label_hash
    assert dict(zip(found.copies["entry"].tolist(), found.copies["other"].tolist(), strict=True)) == others
    assert len(found.copies) == len(others)
    for pairs in (found.conflicts, found.copies):
        for row in pairs:
            assert (row["split"], row["other_split"]) == (copies[row["entry"]].split, copies[row["other"]].split)
    assert found.across_splits == sum(copies[one].split != copies[other].split for one, other in others.items())
    assert found.left_out.tolist() == sorted([*conflicts, *others] if leave_out else conflicts)


@given(st.lists(st.integers(0, 20)), st.lists(st.integers(0, 20), min_size=1))
def test_membership_is_that_of_a_set(values, known):
    found = is_among(np.array(values, np.uint32), np.unique(np.array(known, np.uint32)))
    assert found.tolist() == [value in known for value in values]


def test_without_any_copy_all_stay(write_spool, tmp_path: Path):
    order = np.array([5, 4], np.uint64)
    samples = [{"entry": 0, "digest": 1}, {"entry": 1, "digest": 2}]
    spools = [write_spool(tmp_path / "spool", samples, order)]
    found = find_duplicates(spools, count_samples(spools, 2)[1], leave_out=True)
    rows = np.array([(0,), (1,)], [("entry", "<u4")])
    assert found.without(rows) is rows
    assert (len(found.conflicts), len(found.copies), found.across_splits) == (0, 0, 0)
