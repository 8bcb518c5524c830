"""Requests to answers: images of bodies are given to the batcher, and its answers put together."""

import asyncio
from collections import deque
from typing import Any

from horovod_ocr.recognizer.recognizer import Recognizer
from horovod_ocr.serve.archives import Archive
from horovod_ocr.serve.batcher import Batcher, Wants
from horovod_ocr.serve.bodies import Body, HeldBytes, NamedFile, Receive
from horovod_ocr.serve.failures import ApiError, ClientGoneError, QueueFullError, as_json, busy, failure_of
from horovod_ocr.serve.metrics import Metrics
from horovod_ocr.serve.reading import ImageWork
from horovod_ocr.serve.settings import ServeSettings
from horovod_ocr.serve.uploads import each_file, files_of, image_of

PATIENCE_S = 0.2  # for an answer, before it is looked for whether its client is still there
READY, STARTING, STOPPING = "ready", "starting", "stopping"


class Service:
    """What one process has of a recogniser, its batcher and its limits. Made in a running event loop."""

    def __init__(self, recognizer: Recognizer, settings: ServeSettings, metrics: Metrics, precision: str) -> None:
        """precision: of the model: fp32 or int8."""
        self.recognizer = recognizer
        self.precision = precision
        self.settings = settings
        self.metrics = metrics
        self.state = STARTING
        """READY, STARTING or STOPPING."""
        self.held = HeldBytes(settings.max_held_bytes)
        self.batcher = Batcher(ImageWork(recognizer, settings.max_pixels), settings, metrics.count_batch)

    async def read_one(self, headers: list[tuple[bytes, bytes]], receive: Receive, wants: Wants) -> bytes:
        """The answer to a request with one image. ApiError if it has none."""
        with Body(headers, receive, self.held) as body:
            content = await image_of(body, self.settings)
            try:
                answer = self.batcher.submit(content, wants)
            except QueueFullError:
                raise self._queue_full() from None
            del content
            read: bytes = await self._wait(answer, receive)
            return read

    async def read_batch(self, headers: list[tuple[bytes, bytes]], receive: Receive, wants: Wants) -> bytes:
        """The answer to a request with several images: a reading or an error for each, in their order."""
        with Body(headers, receive, self.held) as body:
            files = await files_of(body, self.settings)
            if self.batcher.waiting >= self.settings.queue:
                raise self._queue_full()
            reading = asyncio.ensure_future(self._read_files(files, wants))
            return as_json({"items": []})[:-2] + b",".join(await self._wait(reading, receive)) + b"]}"

    def _queue_full(self) -> ApiError:
        return busy("as many images are waiting as may wait; try again later", self.batcher.waiting_s)

    async def _read_files(self, files: list[NamedFile | Archive], wants: Wants) -> list[bytes]:
        """One JSON object for each. It has only some images in the queue at once, so that other clients have room."""
        most = max(1, min(self.settings.queue // 2, 2 * self.settings.max_batch * self.settings.threads))
        pending: deque[tuple[str, asyncio.Future[bytes] | ApiError]] = deque()
        items: list[bytes] = []
        try:
            async for file in each_file(files):
                if len(pending) >= most:
                    items.append(await self._item(*pending.popleft()))
                if isinstance(file.content, ApiError):
                    pending.append((file.name, file.content))
                elif not file.content:
                    pending.append((file.name, ApiError(422, "empty_file", "the file has no bytes")))
                else:
                    pending.append((file.name, await self.batcher.submit_when_free(file.content, wants)))
            while pending:
                items.append(await self._item(*pending.popleft()))
        finally:
            for _, answer in pending:
                if not isinstance(answer, ApiError):
                    answer.cancel()
        return items

    async def _item(self, name: str, answer: asyncio.Future[bytes] | ApiError) -> bytes:
        try:
            if isinstance(answer, ApiError):
                raise answer
            return as_json({"name": name, "reading": 0})[:-2] + await answer + b"}"
        except Exception as error:
            failure = failure_of(error)
            self.metrics.count_rejected(failure.code)
            return as_json({"name": name, "error": failure.message, "code": failure.code, "status": failure.status})

    async def _wait(self, answer: asyncio.Future[Any], receive: Receive) -> Any:
        """The answer; it is cancelled, and ClientGoneError is raised, if the client closes its connection."""

        def watch() -> None:
            watching.append(asyncio.ensure_future(self._cancel_if_gone(answer, receive)))

        watching: list[asyncio.Future[None]] = []
        timer = asyncio.get_running_loop().call_later(PATIENCE_S, watch)
        try:
            return await answer
        except asyncio.CancelledError:
            if watching and watching[0].done():
                raise ClientGoneError from None
            answer.cancel()
            raise
        except Exception as error:
            raise failure_of(error) from error
        finally:
            timer.cancel()
            for each in watching:
                each.cancel()

    @staticmethod
    async def _cancel_if_gone(answer: asyncio.Future[Any], receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        answer.cancel()
