"""Batches from real shards: what the plan says, the same for any number of workers, and damage is named."""

import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset as wds

from horovod_ocr.data.augment.augment import Augmentation
from horovod_ocr.data.decoders import DamagedImageError
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.store import ShardStore, open_store
from horovod_ocr.data.stream import ShareReader, Stream, StreamOptions, items_of, killed_workers_named
from horovod_ocr.errors import ClusterError, ShardError
from sharding.format.index import read_idx, read_index

pytestmark = pytest.mark.filterwarnings("ignore:.*unclosed.*:ResourceWarning")


def open_stream(shards, **options) -> Stream:
    store = open_store(str(shards))
    options = {"split": "train", "global_batch": 32, "augmentation": Augmentation(), **options}
    return Stream(store, Geometry(32, store.index.bucket_edges), StreamOptions(**options))


def assert_equal(one, other):
    assert one.step == other.step and one.labels == other.labels and one.global_samples == other.global_samples
    assert torch.equal(one.images_NHW, other.images_NHW) and torch.equal(one.valid_width_N, other.valid_width_N)


def test_an_epoch_holds_every_label_of_the_index_once(word_shards):
    stream = open_stream(word_shards)
    batches = list(stream.batches())
    assert [batch.step for batch in batches] == list(range(stream.steps))
    assert all(len(batch) == batch.global_samples for batch in batches)
    read = sorted(label for batch in batches for label in batch.labels)
    stored = []
    for shard in stream.store.index.of("train"):
        content = stream.store.index.tar_path(shard).read_bytes()
        for record in read_idx(stream.store.index.idx_path(shard)):
            start = int(record["label_offset"])
            stored.append(content[start : start + int(record["label_size"])].decode("utf-8"))
    assert read == sorted(stored) and len(read) == stream.store.index.totals["train"]


def test_images_have_their_classs_width_and_the_rest_is_padding(word_shards):
    stream = open_stream(word_shards, augmentation=None, shuffle=False)
    for batch in stream.batches():
        width = batch.images_NHW.shape[2]
        assert batch.images_NHW.dtype == torch.uint8
        assert width in {stream.geometry.width_px(number) for number in range(len(stream.store.index.bucket_edges))}
        for image_HW, valid_width in zip(batch.images_NHW.numpy(), batch.valid_width_N.tolist(), strict=True):
            assert 0 < valid_width <= width
            assert valid_width == width or np.ptp(image_HW[:, valid_width:]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(word_shards, workers):
    """From the middle of an epoch to the middle of the next."""
    alone = open_stream(word_shards)
    first_step, last_step = alone.steps - 3, alone.steps + 4
    helped = open_stream(word_shards, workers=workers).batches(first_step, last_step)
    for one, other in zip(alone.batches(first_step, last_step), helped, strict=True):
        assert_equal(one, other)


def test_workers_leave_signals_of_a_terminal_and_of_slurm_to_the_rank(word_shards):
    stream = open_stream(word_shards, workers=1)
    batches = stream.batches()
    read = [next(batches)]
    (worker,) = multiprocessing.active_children()
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
        os.kill(worker.pid, number)
    read.extend(batches)
    assert [batch.step for batch in read] == list(range(stream.steps))


@pytest.mark.slow
def test_workers_share_what_is_imported(word_shards):
    """A worker that imported torch by itself would keep three fifths of its memory for itself, and start slowly. In a
    process of its own: a fork server that runs already imports nothing more."""
    done = subprocess.run([sys.executable, __file__, str(word_shards)], capture_output=True, text=True, timeout=120)
    resident, private = map(int, done.stdout.split())
    assert 0 < private < 0.3 * resident


def print_memory_of_a_worker(shards: str) -> None:
    """Resident and private memory, kB."""
    batches = open_stream(shards, workers=1).batches()
    next(batches)
    (worker,) = multiprocessing.active_children()
    lines = Path(f"/proc/{worker.pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines}
    print(kilobytes["Rss"], kilobytes["Private_Dirty"])


@pytest.mark.parametrize("to_gpu", [True, False])
def test_memory_is_pinned_for_a_gpu_alone(word_shards, monkeypatch, to_gpu):
    """And not for a GPU that the machine has and training does not use: pinning makes a CUDA context on it."""
    asked = {}
    monkeypatch.setattr(wds, "WebLoader", lambda pipeline, **options: asked.update(options) or ())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert list(open_stream(word_shards, to_gpu=to_gpu).batches()) == []
    assert asked["pin_memory"] == to_gpu


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_past_its_last_step_has_no_batch(word_shards, workers):
    """Resumed with fewer --steps than it has taken."""
    assert list(open_stream(word_shards, workers=workers).batches(20, 20)) == []
    assert list(open_stream(word_shards, workers=workers).batches(20, 5)) == []


def test_two_ranks_augment_as_one_does(word_shards):
    """The pixels of a sample depend on seed, epoch and sample, not on the rank that reads it."""
    whole = next(open_stream(word_shards).batches())
    pixels = {}
    for rank in (0, 1):
        part = next(open_stream(word_shards, rank=rank, world_size=2).batches())
        pixels |= {image.numpy().tobytes(): label for image, label in zip(part.images_NHW, part.labels, strict=True)}
    assert pixels == {i.numpy().tobytes(): label for i, label in zip(whole.images_NHW, whole.labels, strict=True)}
    stream = open_stream(word_shards)
    later = {
        position: image
        for batch in stream.batches(stream.steps, 2 * stream.steps)
        for position, image in images_of(batch)
    }
    assert all(not np.array_equal(image, later[position]) for position, image in images_of(whole))  # in the next epoch


def images_of(batch) -> list[tuple[tuple[int, int], np.ndarray]]:
    """Each image with its place in the split."""
    positions = zip(batch.shards_N.tolist(), batch.rows_N.tolist(), strict=True)
    return list(zip(positions, batch.images_NHW.numpy(), strict=True))


def test_a_split_without_samples_is_named(word_shards):
    with pytest.raises(ShardError, match="the nosuch split holds no sample"):
        open_stream(word_shards, split="nosuch")


@pytest.fixture
def damaged(word_shards, tmp_path, monkeypatch) -> Path:
    """A set with one flipped image, one flipped label and one cut tar."""
    shards = tmp_path / "shards"
    shutil.copytree(word_shards, shards)
    index = read_index(shards)
    flipped, cut = index.of("train")[0], index.of("train")[1]
    content = bytearray(index.tar_path(flipped).read_bytes())
    records = read_idx(index.idx_path(flipped))
    content[int(records["image_offset"][2]) + 60] ^= 4
    content[int(records["label_offset"][7])] ^= 1
    index.tar_path(flipped).write_bytes(content)
    store = open_store(str(shards))
    index.tar_path(cut).write_bytes(index.tar_path(cut).read_bytes()[:-512])
    monkeypatch.setattr("tests.unit.data.test_stream.open_store", lambda _: store)  # it was whole when it was opened
    return shards


def keys_of(batches) -> list[list[tuple[int, int]]]:
    return [[position for position, _ in images_of(batch)] for batch in batches]


def test_damaged_samples_are_named_and_their_neighbours_stand_in(damaged):
    stream = open_stream(damaged, augmentation=None)
    shares = [stream.plan(0).share(step) for step in range(stream.steps)]
    planned = [list(zip(share.shards.tolist(), share.rows.tolist(), strict=True)) for share in shares]
    batches = list(stream.batches())
    assert [len(batch) for batch in batches] == [batch.global_samples for batch in batches]
    met = {damage for batch in batches for damage in batch.damage}
    names = [shard.name for shard in stream.shards]
    assert {(damage.shard, damage.row) for damage in met} == {(names[0], 2), (names[0], 7), (names[1], None)}
    stands_in = {
        was: now
        for before, after in zip(planned, keys_of(batches), strict=True)
        for was, now in zip(before, after, strict=True)
        if was != now
    }
    assert set(stands_in) == {(0, 2), (0, 7)} | {(1, row) for row in range(stream.shards[1].samples)}
    assert stands_in[0, 2] == (0, 3) and stands_in[0, 7] == (0, 8)
    alike = [n for n, shard in enumerate(stream.shards) if shard.bucket == stream.shards[1].bucket]
    following = alike[(alike.index(1) + 1) % len(alike)]
    for (number, row), now in stands_in.items():
        assert number == 0 or now == (following, row % stream.shards[following].samples)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_neighbours_are_the_same_for_any_ranks_and_workers(damaged, workers):
    whole = keys_of(open_stream(damaged).batches())
    parts = [keys_of(open_stream(damaged, rank=r, world_size=2, workers=workers).batches()) for r in (0, 1)]
    for step, keys in enumerate(whole):
        assert sorted(keys) == sorted(parts[0][step] + parts[1][step])


def test_for_scores_damaged_samples_are_left_out(damaged):
    stream = open_stream(damaged, augmentation=None, shuffle=False, replaces_damaged=False)
    batches = list(stream.batches())
    read = [key for keys in keys_of(batches) for key in keys]
    lost = 2 + stream.shards[1].samples
    assert len(set(read)) == len(read) == sum(shard.samples for shard in stream.shards) - lost
    assert all(
        len(b.labels) == len(b.images_NHW) == len(b.valid_width_N) == len(b.subsets_N) == len(b) for b in batches
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_where_no_neighbour_can_be_read_the_stream_ends_with_their_names(word_shards, tmp_path, workers):
    shards = tmp_path / "shards"
    shutil.copytree(word_shards, shards)
    stream = open_stream(shards, workers=workers)
    for shard in stream.shards:
        tar = shards / shard.tar_name
        tar.write_bytes(tar.read_bytes()[:-512])
    with pytest.raises(
        ShardError, match=r"^nothing to read near a damaged sample: train-\d+: train-\d+\.tar has"
    ) as raised:
        list(stream.batches())
    named = re.findall(r"train-\d+\.tar", str(raised.value))
    assert len(named) == len(set(named)), "a lost shard is asked once, not for each of its samples"


def test_a_killed_loader_worker_is_said_in_a_sentence_and_nothing_else_is_taken_for_it():
    with pytest.raises(ClusterError, match="out of memory"), killed_workers_named():
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
    with pytest.raises(RuntimeError, match="^shape"), killed_workers_named():
        raise RuntimeError("shape of a tensor")

    def loader():
        yield "batch"
        raise ConnectionResetError

    with pytest.raises(ClusterError, match="out of memory"):
        list(items_of(loader()))


def test_shards_come_near_while_batches_are_read(word_shards, monkeypatch):
    near = []
    monkeypatch.setattr(ShardStore, "prefetch", lambda store, shard, *rows: near.append(shard))
    stream = open_stream(word_shards)
    for _ in stream.batches(stream.steps - 2, stream.steps + 2):
        for _ in range(500):
            if near:
                break
            time.sleep(0.01)
    assert near and set(near) <= set(stream.shards)


def test_an_image_that_matches_its_digest_but_does_not_decode_is_damage(word_shards, monkeypatch):
    stream = open_stream(word_shards, augmentation=None)
    reader = ShareReader(stream)
    share = stream.plan(0).share(0)
    decode, wanted = stream.decoder, int(share.rows[0])

    def refuse_first(encoded, size_of):
        if encoded == reader.open_shards.sample(int(share.shards[0]), wanted)[0]:
            raise DamagedImageError("no image")
        return decode(encoded, size_of)

    stream.decoder = refuse_first
    batch = reader.read(share)
    assert [(damage.row, damage.reason) for damage in batch.damage] == [
        (wanted, "the image does not decode (no image)")
    ]
    assert len(batch) == len(share.rows)


if __name__ == "__main__":
    print_memory_of_a_worker(sys.argv[1])
