"""The spool: what was read comes back, or is known to be damaged."""

import io
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharding.errors import ShardError
from sharding.reading import spool
from sharding.reading.labels import LabelCounts
from sharding.reading.sample_reader import Sample
from sharding.reading.spool import ASPECT_GRID, FACTS, SpoolWriter, read_spool, result_of, tsv_line

SAMPLES = st.lists(
    st.builds(
        Sample,
        image=st.binary(min_size=1, max_size=40),
        label=st.binary(max_size=12),
        entry=st.just(0),
        subset=st.integers(0, 254),
        split=st.integers(0, 2),
        length=st.integers(0, 2**20),
        label_hash=st.integers(0, 2**64 - 1),
        width=st.integers(1, 5000),
        height=st.integers(1, 5000),
        image_format=st.integers(0, 1),
        digest=st.integers(0, 2**64 - 1),
        read_bytes=st.integers(1, 100),
    ),
    max_size=20,
)


@pytest.mark.slow
@given(samples=SAMPLES, first=st.integers(0, 1000), run_bytes=st.sampled_from([1, 30, 100, 32 << 20]))
@settings(max_examples=80)
def test_what_goes_in_comes_out(tmp_path_factory, samples, first, run_bytes):
    samples = [
        sample._replace(entry=first + 2 * position) for position, sample in enumerate(samples)
    ]  # odd ones: rejects
    order = np.random.default_rng(0).integers(0, 2**63, 2 * len(samples), np.uint64)
    file = io.BytesIO()
    counts = LabelCounts(Counter({"ي → ی": 3}), Counter({"é": 1, "\n": len(samples)}))
    with patch.object(spool, "RUN_BYTES", run_bytes):
        writer = SpoolWriter(file, order, first)
        for sample in samples:
            writer.add(sample)
            writer.reject(b"%d.png" % sample.entry, "empty file", "")
        result = writer.finish(2 * len(samples), counts)
    path = tmp_path_factory.getbasetemp() / "one.spool"
    path.write_bytes(file.getvalue())
    spooled = read_spool(path)
    rows = {int(row["entry"]): row for row in spooled.facts}
    assert sorted(rows) == [sample.entry for sample in samples]
    for sample in samples:
        row = rows[sample.entry]
        for name in ("subset", "split", "length", "label_hash", "width", "height", "image_format", "digest"):
            assert row[name] == getattr(sample, name)
        at, middle = int(row["spool_at"]), int(row["spool_at"] + row["image_size"])
        assert file.getvalue()[at:middle] == sample.image
        assert file.getvalue()[middle : middle + int(row["label_size"])] == sample.label
        assert row["order"] == order[sample.entry - first]
        cell = int(row["cell"])
        assert sample.width / sample.height <= ASPECT_GRID[cell]
        assert cell == 0 or sample.width / sample.height > ASPECT_GRID[cell - 1]
    assert spooled.read_bytes == sum(sample.read_bytes for sample in samples)
    assert result.counts == spooled.counts == counts
    assert result == result_of(path, 2 * len(samples))
    assert result.rejects == ({"empty file": len(samples)} if samples else {})


def test_within_a_run_samples_lie_by_split_aspect_and_order(write_spool, tmp_path: Path):
    random = np.random.default_rng(1)
    samples = [
        {"entry": entry, "split": int(random.integers(3)), "width": int(random.integers(20, 400))}
        for entry in range(300)
    ]
    facts = read_spool(write_spool(tmp_path / "spool", samples, random.integers(0, 2**63, 300, np.uint64))).facts
    keys = [(row["split"], row["cell"], row["order"]) for row in facts]
    assert keys == sorted(keys)
    assert facts["spool_at"].tolist() == sorted(facts["spool_at"].tolist())


def test_every_cut_and_every_damage_behind_the_images_is_found(write_spool, tmp_path: Path):
    path = write_spool(tmp_path / "spool", [{"entry": 0}, {"entry": 1}], np.arange(2, dtype=np.uint64))
    whole = path.read_bytes()
    assert len(whole) > 2 * FACTS.itemsize
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert result_of(path, 2) is None, f"cut to {size} bytes"
    images = 2 * len(b"picture" + b"text")
    for position in range(images, len(whole)):
        for mask in (1, 255):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ mask]) + whole[position + 1 :])
            reason = f"bits {mask:b} of byte {position} of {len(whole)}"
            if position >= len(whole) - 24 and position < len(whole) - 16:
                continue  # how many bytes were read, for the progress only
            assert result_of(path, 2) is None, reason
    path.write_bytes(whole[:-64] + b"\xff" * 64)
    assert result_of(path, 2) is None
    path.unlink()
    assert result_of(path, 2) is None
    with pytest.raises(ShardError, match="spool cannot be read .*run the same horovod-ocr shard again"):
        read_spool(path)


@pytest.mark.slow
@given(st.lists(st.one_of(st.binary(max_size=20), st.text(max_size=20)), min_size=1, max_size=4))
def test_a_line_is_one_line_with_its_fields(fields):
    line = tsv_line(*fields)
    assert line.endswith(b"\n")
    assert len(line[:-1].split(b"\t")) == len(fields)
    assert len(line.decode("utf-8").splitlines()) == 1
