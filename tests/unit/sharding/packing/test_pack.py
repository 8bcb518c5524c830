"""Shards out of the spool: the same bytes, however what was read lies there."""

import random
import shutil
from collections import defaultdict
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharding.arranging import assign, duplicates
from sharding.arranging.assign import ShardPlan
from sharding.errors import ShardError
from sharding.format.index import read_index
from sharding.packing import pack
from sharding.packing.pack import PackTask, pack_shard
from sharding.reading import intake, spool
from sharding.reading.spool import read_spool
from tests.unit.sharding.conftest import hash_of

COUNT = 230


@pytest.fixture(scope="module")
def words(tmp_path_factory, make_image, build) -> Path:
    """A source with copies, conflicts and rejects, and in out/ its set as the defaults make it."""
    src = tmp_path_factory.mktemp("words")
    lines = []
    for number in range(COUNT):
        content = make_image(number % 200, ((64, 96, 160)[number % 3], 64))
        (src / f"{number}.png").write_bytes(content if number % 20 else content[:-30])
        lines.append(f"{number}.png\t{'دن' if number % 7 else 'رات'}{'اب' * (number % 3)}\n")
    (src / "labels.tsv").write_text("".join(lines), encoding="utf-8")
    build(src, src / "out", samples_per_shard=9)
    return src


@pytest.mark.slow
@given(
    most_entries=st.sampled_from([1, 7, 50, 1000]),
    run_bytes=st.sampled_from([1, 1000, 32 << 20]),
    bucket_samples=st.sampled_from([1, 13, 1 << 20]),
    together_bytes=st.sampled_from([1, 3000, 32 << 20]),
    gap_bytes=st.sampled_from([0, 100, 16 << 10]),
    open_files=st.sampled_from([1, 3, 256]),
    digests_together=st.sampled_from([1, 5]),
)
@settings(max_examples=8)
def test_the_same_bytes_for_any_sizes_of_the_parts(
    words,
    build,
    read_set,
    tmp_path_factory,
    most_entries,
    run_bytes,
    bucket_samples,
    together_bytes,
    gap_bytes,
    open_files,
    digests_together,
):
    out = tmp_path_factory.mktemp("out")
    calls = []
    with (
        patch.object(intake, "MOST_ENTRIES", most_entries),
        patch.object(spool, "RUN_BYTES", run_bytes),
        patch.object(assign, "_PILE_SAMPLES", bucket_samples),
        patch.object(pack, "_TOGETHER_BYTES", together_bytes),
        patch.object(pack, "_GAP_BYTES", gap_bytes),
        patch.object(pack, "_OPEN_FILES", open_files),
        patch.object(duplicates, "_TOGETHER", digests_together),
    ):
        build(words, out, calls.append, samples_per_shard=9)
    assert sum(call.stage == "reading" for call in calls) == -(-COUNT // min(most_entries, 512))  # spool files
    assert read_set(out) == read_set(words / "out")
    shutil.rmtree(out)


@pytest.mark.slow
def test_within_a_split_and_class_samples_lie_in_the_order_of_the_hash_of_their_path(
    build, read_packed, make_image, tmp_path: Path
):
    names = {}
    for number in range(300):
        content = make_image(number, ((64, 96, 160)[number % 3], 64))
        names[content] = f"{number}.png"
        (tmp_path / f"{number}.png").write_bytes(content)
    rows = [f"{name}\tدن{'ابپت'[number % 4]}\n" for number, name in enumerate(names.values())]
    random.Random(3).shuffle(rows)
    (tmp_path / "labels.tsv").write_text("".join(rows), encoding="utf-8")
    for seed in (0, 5):
        out = tmp_path / f"out{seed}"
        build(tmp_path, out, samples_per_shard=7, split="file", seed=seed)
        index, samples = read_index(out), iter(read_packed(out))
        orders = defaultdict(list)
        for shard in index.shards:
            for _ in range(shard.samples):
                orders[shard.split, shard.bucket].append(hash_of(f"order {seed}", names[next(samples).image]))
        assert len(index.bucket_edges) == 3
        assert len(orders) == 9
        assert all(order == sorted(order) for order in orders.values())


@pytest.fixture
def task(write_spool, tmp_path: Path) -> PackTask:
    """One shard of eight samples that lie in two spool files."""
    order = np.arange(8, dtype=np.uint64)
    for first in (0, 4):
        samples = [
            {"entry": entry, "image": b"%d" % entry * 99, "label": "دن".encode(), "digest": entry}
            for entry in range(first, first + 4)
        ]
        write_spool(Path(intake.spool_path(tmp_path, first)), samples, order[first : first + 4], first)
    facts = np.concatenate([read_spool(Path(intake.spool_path(tmp_path, first))).facts for first in (0, 4)])
    facts[::-1].tofile(tmp_path / "placed")
    (tmp_path / "out").mkdir()
    plan = ShardPlan("val-000003", "val", 0, 0, 8)
    return PackTask(tmp_path / "out", plan, tmp_path / "placed", tmp_path, 4, "txt")


def test_a_finished_shard_is_kept_and_a_changed_one_is_not(task: PackTask):
    first = pack_shard(task)
    assert not first.kept
    assert first.letters == {"د": 8, "ن": 8}
    tar, idx = task.out / "val-000003.tar", task.out / "val-000003.idx"
    whole = tar.read_bytes(), idx.read_bytes()
    before = tar.stat().st_mtime_ns
    assert pack_shard(task) == first._replace(kept=True)
    assert tar.stat().st_mtime_ns == before
    for damage in (
        lambda: tar.write_bytes(whole[0][:-1]),
        lambda: tar.write_bytes(whole[0][:700] + b"x" + whole[0][701:]),
        lambda: tar.unlink(),
        lambda: idx.unlink(),
        lambda: idx.write_bytes(whole[1][:-1]),
        lambda: idx.write_bytes(b""),
        lambda: tar.write_bytes(b""),
    ):
        damage()
        assert pack_shard(task) == first
        assert (tar.read_bytes(), idx.read_bytes()) == whole


@pytest.mark.parametrize("name", ["order", "digest", "label_hash", "subset", "width", "image_format"])
def test_a_shard_of_other_samples_is_not_kept(task: PackTask, name: str):
    pack_shard(task)
    rows = np.fromfile(task.placed, spool.FACTS)
    rows[name][3] += 1
    rows.tofile(task.placed)
    assert not pack_shard(task).kept


def test_a_spool_that_is_missing_or_cut_is_said(task: PackTask):
    path = Path(intake.spool_path(task.spool, 4))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ShardError, match=r"000000004.spool is cut short; delete it and run the same horovod-ocr shard"):
        pack_shard(task)
    path.unlink()
    with pytest.raises(ShardError, match=r"000000004.spool is missing; run the same horovod-ocr shard again"):
        pack_shard(task)
    assert list(task.out.iterdir()) == []


def test_samples_are_never_lost_where_the_list_of_them_is_cut(task: PackTask):
    rows = np.fromfile(task.placed, spool.FACTS)
    rows[:-1].tofile(task.placed)
    with pytest.raises(ShardError):
        pack_shard(task)
