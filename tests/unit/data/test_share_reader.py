"""Shares become batches: damage is named, and neighbours replace damaged samples."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from horovod_ocr.data.augment.augment import augment_photo, sample_generator
from horovod_ocr.data.augment.strengths import Augmentation
from horovod_ocr.data.decoders import DamagedImageError
from horovod_ocr.data.image import Geometry, decode_image
from horovod_ocr.data.store import open_store
from horovod_ocr.errors import ShardError
from sharding.format.idx import read_idx
from sharding.format.index import read_index
from tests.unit.data.streams import images_of, keys_of, open_stream

pytestmark = pytest.mark.filterwarnings("ignore:.*unclosed.*:ResourceWarning")


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
    monkeypatch.setattr("tests.unit.data.streams.open_store", lambda _: store)  # it was whole when it was opened
    return shards


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
        len(b.labels) == len(b.images_NHWC) == len(b.valid_width_N) == len(b.subsets_N) == len(b) for b in batches
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


def test_an_image_that_matches_its_digest_but_does_not_decode_is_damage(word_shards, monkeypatch):
    stream = open_stream(word_shards, augmentation=None)
    reader = stream.build_reader()
    share = stream.plan(0).share(0)
    decode, wanted = reader.decoder, int(share.rows[0])

    def refuse_first(encoded, size_of, channels):
        if encoded == reader.open_shards.sample(int(share.shards[0]), wanted)[0]:
            raise DamagedImageError("no image")
        return decode(encoded, size_of, channels)

    reader.decoder = refuse_first
    batch = reader.read(share)
    assert [(damage.row, damage.reason) for damage in batch.damage] == [
        (wanted, "the image does not decode (no image)")
    ]
    assert len(batch) == len(share.rows)


def test_photos_fill_their_canvas_and_are_changed_by_seed_epoch_and_sample(word_shards):
    """Of a geometry with a width, grey or in colour, on any number of ranks."""
    strengths = Augmentation(crop=0.2, flip=True, colour=0.2)
    for channels in (1, 3):
        stream, *ranks = (
            open_stream(word_shards, augmentation=strengths, seed=3, rank=rank, world_size=size)
            for rank, size in ((0, 1), (0, 2), (1, 2))
        )
        for each in (stream, *ranks):
            each.geometry = Geometry(32, stream.geometry.bucket_edges, width=40, channels=channels)
        step = stream.steps + 1  # of the second epoch
        (whole,) = stream.batches(step, step + 1)
        assert whole.images_NHWC.shape == (32, 32, 40, channels) and whole.valid_width_N.tolist() == [40] * 32
        reader, images = stream.build_reader(), dict(images_of(whole))
        for (shard, row), image_HWC in images.items():
            encoded = reader.open_shards.sample(shard, row)[0]
            plain = decode_image(encoded, stream.geometry, 40, stream.decoder)
            changed = augment_photo(plain, sample_generator(3, 1, shard, row), strengths)
            assert np.array_equal(image_HWC.reshape(changed.shape), changed)
        parts = [pair for rank in ranks for batch in rank.batches(step, step + 1) for pair in images_of(batch)]
        assert len(parts) == 32 and all(np.array_equal(images[position], image) for position, image in parts)
