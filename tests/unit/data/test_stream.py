"""Batches from real shards: what the plan says, the same for any number of workers and ranks."""

import time

import numpy as np
import pytest
import torch

from horovod_ocr.data.store import ShardStore
from horovod_ocr.errors import ShardError
from sharding.format.idx import read_idx
from tests.unit.data.streams import assert_equal, images_of, open_stream

pytestmark = pytest.mark.filterwarnings("ignore:.*unclosed.*:ResourceWarning")


@pytest.mark.slow
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
    assert read == sorted(stored) and len(read) == stream.store.index.counts.totals["train"]


def test_images_have_their_buckets_width_and_the_rest_is_padding(word_shards):
    stream = open_stream(word_shards, augmentation=None, shuffle=False)
    for batch in stream.batches():
        width = batch.images_NHWC.shape[2]
        assert batch.images_NHWC.dtype == torch.uint8
        assert width in {stream.geometry.width_px(number) for number in range(len(stream.store.index.bucket_edges))}
        for image_HW, valid_width in zip(batch.images_NHWC.numpy(), batch.valid_width_N.tolist(), strict=True):
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


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_past_its_last_step_has_no_batch(word_shards, workers):
    """Resumed with fewer --steps than it has taken."""
    assert list(open_stream(word_shards, workers=workers).batches(20, 20)) == []
    assert list(open_stream(word_shards, workers=workers).batches(20, 5)) == []


@pytest.mark.slow
def test_two_ranks_augment_as_one_does(word_shards):
    """The pixels of a sample depend on seed, epoch and sample, not on the rank that reads it."""
    whole = next(open_stream(word_shards).batches())
    pixels = {}
    for rank in (0, 1):
        part = next(open_stream(word_shards, rank=rank, world_size=2).batches())
        pixels |= {image.numpy().tobytes(): label for image, label in zip(part.images_NHWC, part.labels, strict=True)}
    assert pixels == {i.numpy().tobytes(): label for i, label in zip(whole.images_NHWC, whole.labels, strict=True)}
    stream = open_stream(word_shards)
    later = {
        position: image
        for batch in stream.batches(stream.steps, 2 * stream.steps)
        for position, image in images_of(batch)
    }
    assert all(not np.array_equal(image, later[position]) for position, image in images_of(whole))  # in the next epoch


def test_a_split_without_samples_is_named(word_shards):
    with pytest.raises(ShardError, match="the nosuch split holds no sample"):
        open_stream(word_shards, split="nosuch")


def test_shards_are_prefetched_while_batches_are_read(word_shards, monkeypatch):
    prefetched = []
    monkeypatch.setattr(ShardStore, "prefetch_rows", lambda store, shard, *rows: prefetched.append(shard))
    stream = open_stream(word_shards)
    for _ in stream.batches(stream.steps - 2, stream.steps + 2):
        for _ in range(500):
            if prefetched:
                break
            time.sleep(0.01)
    assert prefetched and set(prefetched) <= set(stream.shards)


def test_an_address_has_the_key_that_the_tar_has(word_shards):
    stream = open_stream(word_shards)
    store = stream.store
    shard = stream.shards[1]
    start = int(read_idx(store.idx_path(shard))["image_offset"][4])
    key = store.tar_path(shard).read_bytes()[start - 512 :][:9].decode()
    assert key.isdecimal() and stream.address_of(1, 4) == f"{shard.name}, sample 4, key {key}"
