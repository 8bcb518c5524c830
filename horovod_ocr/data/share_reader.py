"""A share of the plan becomes a batch: its samples are read, decoded, augmented and padded.

Shapes: N images, H height, W width, C channels. `images` are those of a batch as numpy sees them: (N, H, W) if they are
grey, else (N, H, W, 3).
"""

import time
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch

from horovod_ocr.data.augment.augment import augment_image, augment_photo, sample_generator
from horovod_ocr.data.batch import Batch
from horovod_ocr.data.decoders import DamagedImageError, Decoder
from horovod_ocr.data.image import Geometry, decode_image, pad_images
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.plan import Share
from horovod_ocr.data.reader import DamagedError, OpenShards
from horovod_ocr.data.store import ShardStore
from horovod_ocr.errors import ShardError
from sharding.format.index import ShardInfo

# a neighbour that replaces a damaged sample is looked for in this many shards, at this many rows of each
NEIGHBOUR_SHARDS, NEIGHBOUR_ROWS = 8, 16


class ShareReader:
    """Turns shares into batches. Damaged samples are replaced or left out, as the options say.

    Args:
        store: gives the bytes of the shards.
        shards: those of the split, in the order given to the plan.
        geometry: the size of the images.
        options: how the split is read.
        decoder: for its images.
        steps_per_epoch: tells the epoch of a step, on which augmentation depends.
    """

    def __init__(
        self,
        store: ShardStore,
        shards: tuple[ShardInfo, ...],
        geometry: Geometry,
        options: StreamOptions,
        decoder: Decoder,
        steps_per_epoch: int,
    ) -> None:
        self.shards, self.geometry, self.options = shards, geometry, options
        self.decoder, self.steps_per_epoch = decoder, steps_per_epoch
        self.of_bucket: dict[int, list[int]] = {}
        for number, shard in enumerate(shards):
            if shard.samples:
                self.of_bucket.setdefault(shard.bucket, []).append(number)
        self.open_shards = OpenShards(store, shards, self.most_open())

    def most_open(self) -> int:
        """The most shards that the windows of the rank's lanes cover at one time."""
        lanes = -(-self.options.lanes // self.options.world_size)
        return lanes * sum(
            2 + self.options.window // max(self.shards[number].samples for number in alike)
            for alike in self.of_bucket.values()
        )

    def read(self, share: Share) -> Batch:
        """The batch of a share.

        Raises:
            ShardError: a damaged sample cannot be replaced.
        """
        count = len(share.rows)
        width = self.geometry.width_px(share.bucket)
        batch = Batch(
            step=share.step,
            images_NHWC=torch.empty((count, self.geometry.height, width, self.geometry.channels), dtype=torch.uint8),
            valid_width_N=torch.empty(count, dtype=torch.int64),
            labels=[],
            subsets_N=np.empty(count, np.uint8),
            shards_N=np.empty(count, np.int64),
            rows_N=np.empty(count, np.int64),
            global_samples=share.global_samples,
        )
        images, valid_width_N = batch.images_NHWC.numpy(), batch.valid_width_N.numpy()
        if self.geometry.channels == 1:
            images = images[..., 0]
        for shard, row in zip(share.shards.tolist(), share.rows.tolist(), strict=True):
            try:
                self.add(batch, images, valid_width_N, shard, row)
            except DamagedError as error:
                batch.damage.append(error.damage)
                if self.options.replaces_damaged:
                    self.add_neighbour(batch, images, valid_width_N, shard, row)
        if len(batch) < count:
            batch = batch.cut()
        if self.options.augmentation is None and not self.geometry.is_photo:  # augmented images are already padded
            pad_images(images[: len(batch)], valid_width_N[: len(batch)])
        return batch

    def add(self, batch: Batch, images: np.ndarray, valid_width_N: np.ndarray, shard: int, row: int) -> None:
        """Append a sample to the batch, whose arrays are `images` and valid_width_N.

        Raises:
            DamagedError: the sample cannot be read.
        """
        position = len(batch)
        encoded, label, batch.subsets_N[position] = self.open_shards.sample(shard, row)
        started_s = time.perf_counter()
        limit_px = images.shape[2]
        try:
            image = decode_image(encoded, self.geometry, limit_px, self.decoder)
        except DamagedImageError as error:
            raise DamagedError(self.shards[shard].name, row, f"the image does not decode ({error})") from error
        valid_width, augmentation = image.shape[1], self.options.augmentation
        if augmentation is not None:
            rng = sample_generator(self.options.seed, batch.step // self.steps_per_epoch, shard, row)
            if self.geometry.is_photo:
                image = augment_photo(image, rng, augmentation)
            else:
                image, valid_width = augment_image(image, limit_px, rng, augmentation)
        images[position, :, : image.shape[1]], valid_width_N[position] = image, valid_width
        batch.shards_N[position], batch.rows_N[position] = shard, row
        batch.labels.append(label)
        batch.decode_s += time.perf_counter() - started_s
        batch.read_bytes += len(encoded)

    def add_neighbour(self, batch: Batch, images: np.ndarray, valid_width_N: np.ndarray, shard: int, row: int) -> None:
        """Append the nearest sample that can be read to the batch.

        Raises:
            ShardError: no neighbour can be read.
        """
        for neighbour in self.neighbours(shard, row):
            try:
                self.add(batch, images, valid_width_N, *neighbour)
                return
            except DamagedError as error:
                batch.damage.append(error.damage)
        reasons = "; ".join(map(str, batch.damage[-NEIGHBOUR_ROWS:]))
        raise ShardError(f"nothing to read near a damaged sample: {reasons}; see: horovod-ocr verify")

    def neighbours(self, shard: int, row: int) -> Iterator[tuple[int, int]]:
        """(shard, row) of samples of the same bucket, in an order that depends only on the sample."""
        alike = self.of_bucket[self.shards[shard].bucket]
        at = alike.index(shard)
        for number in islice(alike[at:] + alike[:at], NEIGHBOUR_SHARDS):
            samples = self.shards[number].samples
            for further in range(number == shard, min(NEIGHBOUR_ROWS, samples)):
                if number in self.open_shards.lost:
                    break
                yield number, (row + further) % samples
