"""Some samples of a shard set, drawn by lot, for people to look at."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from horovod_ocr.data.decoders import DamagedImageError
from horovod_ocr.data.image import Geometry, decode_image
from horovod_ocr.data.store import ShardStore, is_remote, open_store
from horovod_ocr.errors import ShardError
from sharding.format.idx import read_idx, read_sample, record_of
from sharding.format.index import ShardIndex, read_index

FETCHED_SHARDS = 4  # of a remote set
WIDEST_PX = 1 << 14  # at the trained height; the sharder lets no image be wider


class ShownSample(NamedTuple):
    """A sample as people see it."""

    image: bytes
    """Of the image file."""
    label: str
    """Its text, or the name of its class."""


def fetch_some(
    location: str,
    seed: int = 0,
    split: str | None = None,
    cache_dir: str | None = None,
    cache_bytes: int | None = None,
) -> ShardIndex:
    """The index of a shard set, with only those of its shards that `draw_samples` can read.

    All that hold samples; of a remote set FETCHED_SHARDS drawn by lot, which are fetched.

    Args:
        location, cache_dir, cache_bytes: see `store.open_store`.
        seed: decides which shards are fetched.
        split: its shards alone; None: those of all splits.

    Raises:
        ShardError, ConfigError: see `store.open_store`; missing shards of a folder are not noticed.
    """
    store = open_store(location, cache_dir, cache_bytes) if is_remote(location) else None
    index = store.index if store else read_index(location)
    shards = [shard for shard in index.shards if shard.samples and split in (None, shard.split)]
    if store:
        shards = [shards[n] for n in np.random.default_rng(seed).permutation(len(shards))[:FETCHED_SHARDS]]
        for shard in shards:
            store.idx_path(shard)
            store.tar_path(shard)
    return replace(index, shards=tuple(shards))


def draw_samples(index: ShardIndex, count: int, seed: int) -> list[ShownSample]:
    """Up to `count` samples of a local set, drawn by lot, in two preads each. ShardError if an .idx is damaged."""
    first = np.cumsum([0, *(shard.samples for shard in index.shards)])
    total = int(first[-1])
    positions = np.random.default_rng(seed).choice(total, min(count, total), replace=False)
    samples = []
    for position in positions:
        number = int(np.searchsorted(first, position, side="right")) - 1
        shard = index.shards[number]
        record = record_of(read_idx(index.idx_path(shard)), int(position - first[number]))
        with index.tar_path(shard).open("rb") as tar:
            image, raw_label = read_sample(tar, record)
        label = raw_label.decode("utf-8", "replace")
        if index.kind == "classes" and label.isdecimal() and int(label) < len(index.classes):
            label = index.classes[int(label)]
        samples.append(ShownSample(image, label))
    return samples


def read_images(store: ShardStore, places: Iterable[tuple[str, int]]) -> list[bytes]:
    """The bytes of image files. places: name of the shard, and row in it. ShardError if an .idx is damaged."""
    shards = {shard.name: shard for shard in store.index.shards}
    images = []
    for name, row in places:
        record = record_of(read_idx(store.idx_path(shards[name])), row)
        with open(store.tar_path(shards[name]), "rb") as tar:
            images.append(read_sample(tar, record)[0])
    return images


def decode_train_image(encoded: bytes, geometry: Geometry, index: ShardIndex) -> np.ndarray:
    """The image as training sees it before it is changed: see `decode_image`. ShardError if it is damaged."""
    try:
        return decode_image(encoded, geometry, limit_px=WIDEST_PX)
    except DamagedImageError as error:
        raise ShardError(f"{index.root}: a train image does not decode ({error}); run: horovod-ocr verify") from error
