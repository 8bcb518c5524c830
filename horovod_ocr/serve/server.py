"""One process that serves: from the model to the last answer."""

import asyncio
import ctypes
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import uvicorn
import uvloop
from PIL import Image

from horovod_ocr.recognizer.package import Package
from horovod_ocr.recognizer.recognizer import Recognizer, recognizer_of
from horovod_ocr.serve.app import build_app
from horovod_ocr.serve.edge import Edge
from horovod_ocr.serve.metrics import Metrics
from horovod_ocr.serve.protocol import LimitedProtocol, protocol_with
from horovod_ocr.serve.service import READY, STOPPING, Service
from horovod_ocr.serve.settings import ServeSettings

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# after the signal: connections made before it are still taken from the kernel's queue, and their requests are read
LAST_CALL_S = 0.3
LOOK_EVERY_S = 0.2  # after the signal, for bodies that do not arrive
KEEP_ALIVE_S = 75
OBSERVE_EVERY_S = 5.0
M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES = -3, 1 << 20  # the first is a name of malloc.h
SWITCH_INTERVAL_S = 0.001  # a thread that computes gives the event loop its turn sooner than after Python's 5 ms


class Server(uvicorn.Server):
    """uvicorn's, which answers what was sent before a signal, and then ends the process with 0."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept for a moment more, stop accepting, answer everything, end the threads."""
        self._service.state = STOPPING
        cutting = asyncio.ensure_future(self._cut_stalled())
        await asyncio.sleep(LAST_CALL_S)
        await super().shutdown(sockets)
        cutting.cancel()
        if not self._service.batcher.waiting:
            await self._service.batcher.close()

    async def _cut_stalled(self) -> None:
        since_s = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for connection in list(self.server_state.connections):
                assert isinstance(connection, LimitedProtocol)
                connection.cut_if_stalled(since_s)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn does, but the signal is not raised again at the end: the process ends with 0."""
        if threading.current_thread() is not threading.main_thread():  # of a test
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def serve(
    listener: socket.socket, package: Package, settings: ServeSettings, is_ready: Callable[[Server], None]
) -> bool:
    """Serve until SIGTERM or SIGINT, or until `should_exit` of the server is set. is_ready: is called with the server
    when requests are answered.

    Returns whether everything that was accepted has been answered. Raises ExportError if the model cannot be loaded.
    """
    recognizer = recognizer_of(package)
    warm_up(recognizer)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    give_large_blocks_back()
    for name in ("uvicorn.error", "python_multipart"):  # they warn of each wrong request, which are counted anyway
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("uvicorn.error").addFilter(is_news)

    async def run() -> bool:
        metrics = Metrics()
        service = Service(recognizer, settings, metrics, package.precision)
        config = uvicorn.Config(
            Edge(build_app(service), service),
            http=protocol_with(settings, metrics),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, int(settings.shutdown_timeout_s - LAST_CALL_S)),
        )
        server = Server(config, service)
        watching = asyncio.ensure_future(_watch(server, service, is_ready))
        await server.serve([listener])
        watching.cancel()
        return not service.batcher.waiting

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's is printed: not that it cuts off clients at the end, which is what it is told to."""
    return not record.getMessage().startswith(("Cancel ", "ASGI callable returned without completing response"))


async def _watch(server: Server, service: Service, is_ready: Callable[[Server], None]) -> None:
    """Say when the server is ready; keep the gauges of this process up to date."""
    while not server.started:
        await asyncio.sleep(0.01)
    service.state = READY
    is_ready(server)
    while True:
        service.metrics.observe(service.batcher.waiting)
        await asyncio.sleep(OBSERVE_EVERY_S)


def give_large_blocks_back() -> None:
    """Let glibc return the memory of large files and pictures when they are dropped. By itself it keeps blocks of up to
    32 MB for later once it has seen one. Does nothing with other C libraries."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def warm_up(recognizer: Recognizer) -> None:
    """Read noise, in which a model sees letters, so that the first request does not wait for what is set up once."""
    for width_px in (32, 128):
        levels = np.random.default_rng(width_px).integers(0, 256, (64, width_px), np.uint8)
        recognizer.read(Image.fromarray(levels))
