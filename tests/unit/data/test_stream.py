"""Batches from real shards: what the plan says, the same for any number of workers, and damage is named."""

import shutil

import numpy as np
import pytest
import torch

from horovod_ocr.data.augment import Augmentation
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.stream import Stream, StreamOptions
from horovod_ocr.errors import ShardError
from sharding.index import read_idx, read_index

pytestmark = pytest.mark.filterwarnings("ignore:.*unclosed.*:ResourceWarning")


def open_stream(shards, **options) -> Stream:
    index = read_index(shards)
    options = {"split": "train", "global_batch": 32, "augmentation": Augmentation(), **options}
    return Stream(index, Geometry(32, index.aspect_edges), StreamOptions(**options))


def assert_equal(one, other):
    assert one.step == other.step and one.labels == other.labels and one.global_samples == other.global_samples
    assert torch.equal(one.images_NHW, other.images_NHW) and torch.equal(one.reach_N, other.reach_N)


def test_an_epoch_holds_every_label_of_the_index_once(word_shards):
    stream = open_stream(word_shards)
    batches = list(stream.batches())
    assert [batch.step for batch in batches] == list(range(stream.steps))
    assert all(len(batch) == batch.global_samples for batch in batches)
    read = sorted(label for batch in batches for label in batch.labels)
    stored = []
    for shard in stream.index.of("train"):
        content = stream.index.tar_path(shard).read_bytes()
        for record in read_idx(stream.index.idx_path(shard)):
            start = int(record["label_offset"])
            stored.append(content[start : start + int(record["label_size"])].decode("utf-8"))
    assert read == sorted(stored) and len(read) == stream.index.totals["train"]


def test_images_have_their_classs_width_and_the_rest_is_padding(word_shards):
    stream = open_stream(word_shards, augmentation=None, shuffle=False)
    for batch in stream.batches():
        width = batch.images_NHW.shape[2]
        assert batch.images_NHW.dtype == torch.uint8
        assert width in {stream.geometry.width_px(number) for number in range(len(stream.index.aspect_edges))}
        for image_HW, reach in zip(batch.images_NHW.numpy(), batch.reach_N.tolist(), strict=True):
            assert 0 < reach <= width
            assert reach == width or np.ptp(image_HW[:, reach:]) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(word_shards, workers):
    alone = list(open_stream(word_shards).batches(epoch=1, first_step=3))
    helped = list(open_stream(word_shards, workers=workers).batches(epoch=1, first_step=3))
    assert len(alone) == len(helped) > 3
    for one, other in zip(alone, helped, strict=True):
        assert_equal(one, other)


def test_two_ranks_augment_as_one_does(word_shards):
    """The pixels of a sample depend on seed, epoch and sample, not on the rank that reads it."""
    whole = next(open_stream(word_shards).batches())
    pixels = {}
    for rank in (0, 1):
        part = next(open_stream(word_shards, rank=rank, world_size=2).batches())
        pixels |= {image.numpy().tobytes(): label for image, label in zip(part.images_NHW, part.labels, strict=True)}
    assert pixels == {i.numpy().tobytes(): label for i, label in zip(whole.images_NHW, whole.labels, strict=True)}
    later = next(open_stream(word_shards).batches(epoch=1))
    assert not torch.equal(later.images_NHW[:1], whole.images_NHW[:1])


def test_a_split_without_samples_and_a_damaged_shard_are_named(word_shards, tmp_path):
    with pytest.raises(ShardError, match="the nosuch split holds no sample"):
        open_stream(word_shards, split="nosuch")
    copy = tmp_path / "shards"
    shutil.copytree(word_shards, copy)
    for shard in read_index(copy).of("train"):
        tar = copy / shard.tar_name
        tar.write_bytes(tar.read_bytes()[:-512])
    for workers in (0, 1):
        with pytest.raises(ShardError, match=r"train-\d+\.tar: \d+ bytes, \d+ in the index; shard again$"):
            list(open_stream(copy, workers=workers).batches())
