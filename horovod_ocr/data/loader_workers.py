"""The processes that read for a rank: how they start, pass on batches and errors, and end.

A loader with 0 workers does the same in the rank's own process.
"""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import webdataset as wds

from horovod_ocr.data.batch import Batch
from horovod_ocr.data.plan import Share
from horovod_ocr.data.shared_memory import PREFETCH, out_of_shared_memory
from horovod_ocr.errors import ClusterError, OcrError

PRELOADED = ["horovod_ocr.data.stream"]
LAST_STEP_S = 30.0  # a loader worker survives a SIGTERM by this long; Slurm kills 30 s after it


def build_loader(
    shares: Iterable[Share], read: Callable[[Share], Batch], workers: int, pins_memory: bool
) -> Iterable[Batch | OcrError]:
    """A loader that reads shares in `workers` processes. Its items are for `batches_of`.

    Args:
        shares: for the worker that iterates over them (see `torch.utils.data.get_worker_info`). It can be pickled.
        read: turns a share into a batch. It can be pickled.
        workers: processes; 0: this one.
        pins_memory: see `StreamOptions.to_gpu`.
    """
    # This has no effect once the fork server runs. Its children share the memory of the imported torch: each starts in
    # 0.2 s instead of 4.7 and takes 20 MB instead of 160 (2 workers on 2 busy cores).
    multiprocessing.set_forkserver_preload(PRELOADED)
    loader: Iterable[Batch | OcrError] = wds.WebLoader(
        wds.DataPipeline(shares, wds.map(PassedOn(read))),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=PREFETCH if workers else None,
        # forking is unsafe after Horovod's threads have started
        multiprocessing_context="forkserver" if workers else None,
        worker_init_fn=end_with_rank,
        pin_memory=pins_memory,
        # a loader draws a seed for its workers; it must not come from the generator that dropout draws from
        generator=torch.Generator(),
    )
    return loader


@dataclass(frozen=True)
class PassedOn:
    """Reads a share, and makes the batch, or the error, ready to be passed on to the rank."""

    read: Callable[[Share], Batch]
    """Turns a share into its batch; it may raise an OcrError."""

    def __call__(self, share: Share) -> Batch | OcrError:
        """Errors are returned, because an exception that a worker raises would arrive wrapped in its traceback."""
        try:
            batch = self.read(share)
            return share_batch(batch) if torch.utils.data.get_worker_info() else batch
        except OcrError as error:
            return error


def share_batch(batch: Batch) -> Batch:
    """Move a worker's batch into shared memory.

    Sending the batch would do so too, but in a thread of the worker, whose errors reach nobody.

    Raises:
        ClusterError: /dev/shm is full.
    """
    try:
        for tensor in (batch.images_NHWC, batch.valid_width_N):
            tensor.share_memory_()  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError) as error:
        raise ClusterError(out_of_shared_memory(batch.images_NHWC.nbytes, str(error).splitlines()[0])) from error
    return batch


def batches_of(loader: Iterable[Batch | OcrError]) -> Iterator[Batch]:
    """The batches of a loader.

    Raises:
        OcrError: as `read` raised it.
        ClusterError: a worker was killed while it passed on a batch.
    """
    try:
        for item in loader:
            if isinstance(item, OcrError):
                raise item
            yield item
    except (ConnectionError, EOFError) as error:
        raise ClusterError(worker_killed()) from error


@contextmanager
def killed_loader_workers_named() -> Iterator[None]:
    """Turns torch's error for a killed loader worker into one for users.

    Put it around everything that runs while a loader is open: torch raises its RuntimeError in a signal handler, so it
    may come out of any line.

    Raises:
        ClusterError: a loader worker was killed.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ClusterError(worker_killed()) from error


def worker_killed() -> str:
    """A sentence for users."""
    return (
        f"a loader worker on {socket.gethostname()} was killed, most often because the host is out of memory; give "
        "fewer --workers or a smaller batch, and go on with --resume"
    )


def end_with_rank(worker: int) -> None:
    """Runs first in each worker: makes it end when its rank ends, even if the rank is killed.

    Torch's own watchdog watches the worker's parent. That is the fork server, which lives as long as its workers, and
    horovodrun would wait for their output forever.

    Signals that ask a run to stop also reach the workers, from a terminal or a batch system. They are ignored here,
    because the rank finishes its step and needs its workers for that.
    """
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # SIGTERM is not ignored for ever: when Python exits, it sends it to the children that are still alive
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end_later, daemon=True).start())

    def watch() -> None:
        rank = multiprocessing.parent_process()
        if rank is not None:
            rank.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-rank", daemon=True).start()


def end_later() -> None:
    """End this process after LAST_STEP_S."""
    time.sleep(LAST_STEP_S)
    os._exit(1)
