"""What a server counts, for Prometheus.

With several processes, prometheus_client keeps the numbers of each in files of the folder that the environment variable
PROMETHEUS_MULTIPROC_DIR names; it must be set before this module is imported. Whichever process is asked adds them up.
"""

import os

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each counter
        self._own = CollectorRegistry()
        own = self._own
        self._requests = Counter("horovod_ocr_requests", "Requests answered", ["path", "status"], registry=own)
        self._seconds = Histogram(
            "horovod_ocr_request_seconds",
            "From the headers of a request to its answer",
            ["path"],
            buckets=SECONDS,
            registry=own,
        )
        self._rejected = Counter("horovod_ocr_rejected", "Requests and images refused", ["reason"], registry=own)
        self._images = Counter("horovod_ocr_images_read", "Images read", registry=own)
        self._batches = Histogram(
            "horovod_ocr_batch_images", "Images of a run of the model", buckets=IMAGES, registry=own
        )
        self._queue = Gauge(
            "horovod_ocr_queue_images",
            "Images accepted and not answered yet",
            multiprocess_mode="livesum",
            registry=own,
        )
        self._memory = Gauge(
            "horovod_ocr_resident_memory_bytes", "Memory of a process", multiprocess_mode="liveall", registry=own
        )
        self._process = psutil.Process()

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """path: of a route, so that there are few."""
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def count_rejected(self, reason: str) -> None:
        """reason: the code of an `ApiError`."""
        self._rejected.labels(reason).inc()

    def count_batch(self, images: int) -> None:
        """A run of the model."""
        self._batches.observe(images)
        self._images.inc(images)

    def observe(self, waiting: int) -> None:
        """What has a present value. waiting: images that are accepted and not answered yet."""
        self._queue.set(waiting)
        self._memory.set(self._process.memory_info().rss)

    def text(self) -> bytes:
        """Of all processes, as Prometheus reads it."""
        if FOLDER_VARIABLE not in os.environ:
            return generate_latest(self._own)
        all_processes = CollectorRegistry()
        MultiProcessCollector(all_processes)  # type: ignore[no-untyped-call]
        return generate_latest(all_processes)
