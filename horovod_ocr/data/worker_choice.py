"""How many loader workers a stream gets."""

from dataclasses import replace

from horovod_ocr.data.shared_memory import free_shared_bytes, largest_batch_bytes, workers_with_room
from horovod_ocr.data.stream import Stream

# Samples of a rank from which loader workers pay off if they are started for one pass, as for each validation: in the
# 0.2 to 0.6 s that this takes, the rank alone reads about 10,000 words. Kept, they would take memory from training.
LEAST_FOR_WORKERS = 10_000


def give_workers(stream: Stream, ranks: int, most: int, used_bytes: int = 0) -> None:
    """Give loader workers, at most `most`, to a stream that is read once, beside a GPU: if it is long enough for them
    to pay off, and as many as have room in half of /dev/shm.

    ranks: of the host. used_bytes: of /dev/shm, by other workers.
    """
    free_bytes = free_shared_bytes()
    samples = sum(shard.samples for shard in stream.shards)
    if samples >= LEAST_FOR_WORKERS * stream.options.world_size:
        left_bytes = None if free_bytes is None else free_bytes // 2 - used_bytes
        room = workers_with_room(batch_bytes_of(stream), ranks, left_bytes)
        stream.options = replace(stream.options, workers=min(most, room))


def batch_bytes_of(stream: Stream) -> int:
    """Shared memory that the largest batch of a stream takes."""
    o = stream.options
    return largest_batch_bytes(stream.shards, stream.geometry, o.lanes, o.global_batch, o.world_size)
