"""Threads that decode and read what requests bring: the event loop only hands images over and takes answers.

Each thread takes what came first: images to decode, as many as a run takes, then a run of the model. So an image that
comes alone is decoded and read by one thread, at once. Large images are decoded by a thread of their own, so that no
small one waits for them.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from horovod_ocr.recognizer.images import ReadyImage
from horovod_ocr.serve.buckets import Buckets
from horovod_ocr.serve.failures import ApiError, ClientGoneError, QueueFullError
from horovod_ocr.serve.settings import ServeSettings

log = logging.getLogger(__name__)
RECENT = 0.1  # how much the last run counts in the speed


@dataclass(frozen=True)
class Wants:
    """What a client wants to know of an image."""

    letters: bool = True
    """Where each letter is."""
    alternatives: int = 0
    """How many other readings."""


@dataclass(eq=False)
class Job:
    """An image from its arrival to its answer."""

    content: bytes
    """The file; dropped when it is decoded."""
    wants: Wants
    """What its answer holds."""
    answer: asyncio.Future[bytes]
    """JSON. Its client has gone if it is cancelled."""
    arrived_s: float = field(default_factory=time.perf_counter)
    """By time.perf_counter."""
    image: ReadyImage | None = None
    """When it is decoded."""

    @property
    def is_wanted(self) -> bool:
        return not self.answer.cancelled()


class Work(Protocol):
    """What the threads do. Several threads may call it at once."""

    def prepare(self, content: bytes) -> ReadyImage:
        """Decode a file. Raises ApiError if it cannot be read."""

    def is_large(self, content: bytes) -> bool:
        """Whether it takes long to decode."""

    def read(self, jobs: Sequence[Job]) -> list[bytes]:
        """Answers to jobs of one width, which are decoded."""


class Places:
    """A limited number of places. Who finds none may wait in line: first come, first served."""

    def __init__(self, most: int) -> None:
        self.taken = 0
        """Those that are promised to somebody in line among them."""
        self._most = most
        self._in_line: deque[asyncio.Future[None]] = deque()

    def take(self) -> None:
        """A place at once. QueueFullError if there is none."""
        if self.taken >= self._most:
            raise QueueFullError
        self.taken += 1

    async def wait(self) -> None:
        """A place, at once or later."""
        if self.taken < self._most:
            self.taken += 1
            return
        promised: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in_line.append(promised)
        try:
            await promised
        except asyncio.CancelledError:
            if not promised.cancelled():  # it was given the place, and had no time to use it
                self.give_back(1)
            raise

    def give_back(self, count: int) -> None:
        """Places, which those in line get. So none waits while there is room."""
        self.taken -= count
        while self._in_line and self.taken < self._most:
            if not (promised := self._in_line.popleft()).done():
                self.taken += 1  # nobody who comes in between gets it
                promised.set_result(None)


class Batcher:
    """Images in, answers out. All but the threads' own methods are called in the thread of the event loop."""

    def __init__(self, work: Work, settings: ServeSettings, count_batch: Callable[[int], None]) -> None:
        """count_batch: is told the images of each run."""
        self.places = Places(settings.queue)
        """Of the images that are accepted and not answered yet."""
        self._work = work
        self._settings = settings
        self._count_batch = count_batch
        self._lock = threading.Lock()
        self._small = threading.Condition(self._lock)
        self._large = threading.Condition(self._lock)
        self._arrived: dict[threading.Condition, deque[Job]] = {self._small: deque(), self._large: deque()}
        self._buckets: Buckets[Job] = Buckets(settings.max_batch, settings.max_wait_ms / 1000)
        self._closing = False
        self._decoding_large = False
        self._s_per_image = 0.0
        self._loop = asyncio.get_running_loop()
        places = [self._small] * settings.threads + [self._large]
        self._threads = [threading.Thread(target=self._run, args=(place,), daemon=True) for place in places]
        for thread in self._threads:
            thread.start()

    def submit(self, content: bytes, wants: Wants = Wants()) -> asyncio.Future[bytes]:
        """The answer to an image, later: JSON, or ApiError. QueueFullError if as many wait as may."""
        self.places.take()
        return self._accept(content, wants)

    def _accept(self, content: bytes, wants: Wants) -> asyncio.Future[bytes]:
        job = Job(content, wants, self._loop.create_future())
        place = self._large if self._work.is_large(content) else self._small
        with self._lock:
            self._arrived[place].append(job)
            place.notify()
        return job.answer

    async def submit_when_free(self, content: bytes, wants: Wants) -> asyncio.Future[bytes]:
        """The same, but wait for room; first come, first served."""
        await self.places.wait()
        return self._accept(content, wants)

    @property
    def waiting(self) -> int:
        """Images that are accepted and not answered yet, and places that are promised to the next."""
        return self.places.taken

    @property
    def waiting_s(self) -> float:
        """How long what waits will take, by the speed of the last runs."""
        return self.waiting * self._s_per_image / self._settings.threads

    async def close(self) -> None:
        """Answer everything that was accepted, and end the threads."""
        with self._lock:
            self._closing = True
            self._small.notify_all()
            self._large.notify_all()
        for thread in self._threads:
            await self._loop.run_in_executor(None, thread.join)

    def _run(self, place: threading.Condition) -> None:
        while jobs := self._next(place):
            if jobs[0].image is None:
                self._decode(jobs, place)
            else:
                self._read(jobs)

    def _next(self, place: threading.Condition) -> list[Job]:
        """Wait for jobs that can be decoded or read together; empty at the end."""
        arrived = self._arrived[place]
        with self._lock:
            while True:
                if arrived:
                    count = min(len(arrived), self._settings.max_batch if place is self._small else 1)
                    self._decoding_large = place is self._large
                    return [arrived.popleft() for _ in range(count)]
                now_s = time.perf_counter()
                if place is self._small and (jobs := self._buckets.take(now_s, hurry=self._closing)):
                    return jobs
                if self._closing and self._is_done(place):
                    return []
                place.wait(self._buckets.due_in_s(now_s) if place is self._small else None)

    def _is_done(self, place: threading.Condition) -> bool:
        return place is self._large or not (self._arrived[self._large] or self._decoding_large or self._buckets)

    def _decode(self, jobs: list[Job], place: threading.Condition) -> None:
        ready: list[Job] = []
        failed: list[tuple[Job, bytes | Exception]] = []
        for job in jobs:
            try:
                if job.is_wanted:
                    job.image = self._work.prepare(job.content)
                    ready.append(job)
                else:
                    failed.append((job, ClientGoneError()))
            except Exception as error:
                if not isinstance(error, ApiError):
                    log.exception("an image could not be decoded")
                # its traceback would keep the image, and itself through this list, until the garbage is collected
                failed.append((job, error.with_traceback(None)))
            job.content = b""
        with self._lock:
            for job in ready:
                assert job.image is not None
                self._buckets.add(job.image.pixels_HWC.shape[1], job)
            if place is self._large:
                self._decoding_large = False
                self._small.notify_all()
            elif len(ready) > 1:  # one alone is read by this thread, next
                self._small.notify()
        if failed:
            self._loop.call_soon_threadsafe(self._deliver, failed)

    def _read(self, jobs: list[Job]) -> None:
        answers: list[tuple[Job, bytes | Exception]] = [(job, ClientGoneError()) for job in jobs if not job.is_wanted]
        jobs = [job for job in jobs if job.is_wanted]
        started_s = time.perf_counter()
        try:
            answers += zip(jobs, self._work.read(jobs) if jobs else [], strict=True)
        except Exception as error:
            if len(jobs) > 1:  # one of them may be the reason: the others are answered
                for job in jobs:
                    self._read([job])
                jobs = []
            else:
                log.exception("an image could not be read")
                answers += [(jobs[0], error.with_traceback(None))]
        if jobs:
            self._count_batch(len(jobs))
            spent_s = (time.perf_counter() - started_s) / len(jobs)
            self._s_per_image += RECENT * (spent_s - self._s_per_image) if self._s_per_image else spent_s
        self._loop.call_soon_threadsafe(self._deliver, answers)

    def _deliver(self, answers: list[tuple[Job, bytes | Exception]]) -> None:
        for job, answer in answers:
            if job.answer.done():
                continue
            if isinstance(answer, Exception):
                job.answer.set_exception(answer)
            else:
                job.answer.set_result(answer)
        self.places.give_back(len(answers))
