"""The train split and the val split of a run, as streams of batches."""

import socket
from dataclasses import replace

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.augment.strengths import check_for_words
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.shared_memory import choose_workers, free_shared_bytes, shared_bytes_needed, shortage
from horovod_ocr.data.store import ShardStore
from horovod_ocr.data.stream import Stream
from horovod_ocr.data.worker_choice import batch_bytes_of, give_workers
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import ConfigError


def open_streams(
    config: TrainConfig, world: World, store: ShardStore, geometry: Geometry, on_gpu: bool, cores: int
) -> tuple[Stream, Stream | None]:
    """The train split, and the val split or None if the set has none, with the loader workers that there is room for.

    Raises ShardError if the train split is empty, ConfigError if its loader workers have no room, or if words are to be
    changed as only photos can be.
    """
    if config.data.augment and not geometry.is_photo:
        check_for_words(config.data.augmentation)
    ranks, free_bytes, wanted = world.local_size, free_shared_bytes(), config.data.workers
    train = Stream(store, geometry, stream_options(config, "train", world, on_gpu))
    reads_alone = wanted == 0 or not on_gpu and wanted < 0
    batch_bytes = 0 if reads_alone else batch_bytes_of(train)
    workers = choose_workers(wanted, on_gpu, cores, ranks, batch_bytes, free_bytes)
    if why := shortage(batch_bytes, workers, ranks, free_bytes):
        # a worker that finds no room would end the run in the middle
        raise ConfigError(f"{socket.gethostname()}: {why}")
    train.options = replace(train.options, workers=workers)
    if not store.index.counts.totals.get("val"):
        return train, None
    val = Stream(store, geometry, stream_options(config, "val", world, on_gpu))
    if on_gpu:
        # meanwhile the batches of the train split's workers stay in memory
        give_workers(val, ranks, workers, shared_bytes_needed(batch_bytes, workers, ranks))
    return train, val


def stream_options(config: TrainConfig, split: str, world: World, on_gpu: bool) -> StreamOptions:
    """How this rank reads a split. Only training shuffles, augments and replaces damaged samples. No workers yet."""
    training, plan, data = split == "train", config.plan, config.data
    return StreamOptions(
        split=split,
        seed=config.seed,
        lanes=plan.lanes,
        global_batch=plan.global_batch if training else 2 * plan.global_batch,
        window=plan.window,
        shuffle=training,
        augmentation=data.augmentation if training and data.augment else None,
        decoder=data.decoder,
        replaces_damaged=training,
        rank=world.rank,
        world_size=world.world_size,
        to_gpu=on_gpu,
    )
