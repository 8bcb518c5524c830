"""The streams of a run, and their loader workers."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from horovod_ocr.config.overlay import overlay
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data import worker_choice
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.shared_memory import MOST_WORKERS, shared_bytes_needed
from horovod_ocr.data.store import open_store
from horovod_ocr.data.worker_choice import batch_bytes_of
from horovod_ocr.errors import ConfigError, ShardError
from horovod_ocr.training import streams
from horovod_ocr.training.streams import open_streams


@pytest.fixture
def streams_of(word_shards, monkeypatch):
    """What open_streams gives: the train and the val split of 40 cores' ranks, with so much of /dev/shm free."""
    store = open_store(str(word_shards))

    def open_them(on_gpu=True, free_bytes=1 << 30, workers=-1, local_size=1):
        world = SimpleNamespace(rank=0, world_size=1, local_size=local_size)
        for module in (streams, worker_choice):
            monkeypatch.setattr(module, "free_shared_bytes", lambda: free_bytes)
        config = TrainConfig.of(workers=workers)
        return open_streams(config, world, store, Geometry(64, store.index.bucket_edges), on_gpu, 40)

    return open_them


def needed_bytes(stream, ranks) -> int:
    return shared_bytes_needed(batch_bytes_of(stream), stream.options.workers, ranks)


@pytest.mark.parametrize(("workers", "free_bytes", "fits"), [(2, 1 << 20, False), (2, 1 << 30, True), (0, 0, True)])
@pytest.mark.parametrize("on_gpu", [True, False])
def test_a_run_begins_if_the_batches_of_the_workers_that_it_asks_for_fit(streams_of, workers, free_bytes, fits, on_gpu):
    if fits:
        assert streams_of(on_gpu, free_bytes, workers)[0].options.workers == workers
        return
    with pytest.raises(ConfigError, match=r"/dev/shm has 1\.0 MB free, and 2 loader workers need up to \d"):
        streams_of(on_gpu, free_bytes, workers)


@pytest.mark.parametrize("workers", [-1, 0, 2])
def test_an_empty_train_split_is_named_whoever_would_read_it(word_shards, workers):
    store = open_store(str(word_shards))
    store.index = replace(store.index, shards=tuple(shard for shard in store.index.shards if shard.split != "train"))
    world, geometry = SimpleNamespace(rank=0, world_size=1, local_size=1), Geometry(64, store.index.bucket_edges)
    with pytest.raises(ShardError, match="train"):
        open_streams(TrainConfig.of(workers=workers), world, store, geometry, True, 40)


def test_on_the_cpu_no_worker_is_started_by_itself_and_nothing_is_pinned(streams_of):
    for stream in streams_of(on_gpu=False, free_bytes=0):
        assert (stream.options.workers, stream.options.to_gpu) == (0, False)
    train, val = streams_of(on_gpu=False, workers=2)
    assert (train.options.workers, val.options.workers) == (2, 0)


def test_beside_a_gpu_a_long_val_split_has_workers_too(streams_of, monkeypatch):
    train, val = streams_of()
    assert (train.options.workers, val.options.workers) == (MOST_WORKERS, 0), "the split is read before they start"
    assert train.options.to_gpu and val.options.to_gpu
    monkeypatch.setattr(worker_choice, "LEAST_FOR_WORKERS", 1)
    assert [stream.options.workers for stream in streams_of()] == [MOST_WORKERS, MOST_WORKERS]
    assert [stream.options.workers for stream in streams_of(workers=2)] == [2, 2]
    assert [stream.options.workers for stream in streams_of(workers=0)] == [0, 0]
    assert [stream.options.workers for stream in streams_of(free_bytes=None)] == [MOST_WORKERS, MOST_WORKERS]


@pytest.mark.parametrize("ranks", [1, 3])
def test_little_shared_memory_leaves_fewer_workers_and_both_splits_have_room(streams_of, monkeypatch, ranks):
    monkeypatch.setattr(worker_choice, "LEAST_FOR_WORKERS", 1)
    train, val = streams_of(local_size=ranks)
    enough = 2 * (needed_bytes(train, ranks) + needed_bytes(val, ranks))
    least = shared_bytes_needed(batch_bytes_of(train), 1, ranks)
    found = []
    for free_bytes in [*range(least, enough, (enough - least) // 20), enough]:
        train, val = streams_of(free_bytes=free_bytes, local_size=ranks)
        assert needed_bytes(train, ranks) + needed_bytes(val, ranks) <= free_bytes
        found.append((train.options.workers, val.options.workers))
    assert found[0] == (1, 0) and found[-1] == (MOST_WORKERS, MOST_WORKERS)
    assert [of_train for of_train, _ in found] == sorted(of_train for of_train, _ in found)
    with pytest.raises(ConfigError, match="/dev/shm has"):
        streams_of(free_bytes=least - 1, local_size=ranks)


def test_words_are_not_changed_like_photos(word_shards):
    store, world = open_store(str(word_shards)), SimpleNamespace(rank=0, world_size=1, local_size=1)
    words = Geometry(64, store.index.bucket_edges)
    config = overlay(TrainConfig(), {"augmentation": {"crop": 0.2}}, "a test")
    with pytest.raises(ConfigError, match=r"^augmentation\.crop: only images of classes"):
        open_streams(config, world, store, words, False, 40)
    open_streams(overlay(config, {"augment": False}, "a test"), world, store, words, False, 40)
    train, _ = open_streams(config, world, store, replace(words, width=64), False, 40)
    assert train.options.augmentation.crop == 0.2
