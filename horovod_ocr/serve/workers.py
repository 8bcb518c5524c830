"""Several processes that serve on one socket, and their supervisor, which starts anew what was killed."""

import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from horovod_ocr.console import SENTENCE
from horovod_ocr.errors import OcrError
from horovod_ocr.recognizer.package import read_package
from horovod_ocr.serve.metrics import FOLDER_VARIABLE
from horovod_ocr.serve.settings import ServeSettings

MOST_EARLY_ENDS = 5  # in a row, before they have served: something is wrong with all of them
PAUSE_S = 0.5
READY_MESSAGE = "ready"


@dataclass(frozen=True)
class ServedModel:
    """What a process loads."""

    path: Path
    """Folder or zip of an export."""
    precision: str
    """As in `read_package`."""


@dataclass
class Worker:
    """A process."""

    process: SpawnProcess
    """Itself."""
    says: Connection
    """READY_MESSAGE, or the error that it ends with."""
    is_ready: bool = False
    """Whether it has served."""
    has_closed: bool = False
    """Whether its end of `says` is closed."""


def run_worker(listener: socket.socket, model: ServedModel, settings: ServeSettings, says: Connection) -> None:
    """What a process does."""
    from horovod_ocr.serve.server import serve  # after the environment was set for metrics

    try:
        package = read_package(model.path, model.precision)
        answered = serve(listener, package, settings, lambda _: says.send(READY_MESSAGE))
    except OcrError as error:
        says.send(error)
        sys.exit(error.exit_code)
    sys.exit(0 if answered else 1)


class Supervisor:
    """Keeps as many processes serving as were asked for, until a signal."""

    def __init__(self, listener: socket.socket, model: ServedModel, settings: ServeSettings, count: int) -> None:
        self._listener = listener
        self._model = model
        self._settings = settings
        self._count = count
        self._workers: list[Worker] = []
        self._stops = False
        self._early_ends = 0

    def run(self, is_ready: Callable[[], None]) -> bool:
        """Serve until SIGTERM or SIGINT. is_ready: is called once, when all processes serve.

        Returns whether everything that was accepted has been answered. Raises the error that keeps a process from
        starting.
        """
        receiving, sending = socket.socketpair()
        with tempfile.TemporaryDirectory(prefix="horovod-ocr-metrics-") as folder, receiving, sending:
            os.environ[FOLDER_VARIABLE] = folder
            sending.setblocking(False)
            signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)
            before = {each: signal.signal(each, self._stop) for each in (signal.SIGTERM, signal.SIGINT)}
            try:
                self._supervise(receiving, is_ready)
                return self._end()
            finally:
                for worker in self._workers:
                    worker.process.kill()
                signal.set_wakeup_fd(-1)
                for each, handler in before.items():
                    signal.signal(each, handler)
                del os.environ[FOLDER_VARIABLE]

    def _stop(self, *_: object) -> None:
        self._stops = True

    def _supervise(self, woken: socket.socket, is_ready: Callable[[], None]) -> None:
        said_ready = False
        while not self._stops:
            while len(self._workers) < self._count:
                self._workers.append(self._start())
            says = [worker.says for worker in self._workers if not worker.has_closed]
            wait([*says, *(worker.process.sentinel for worker in self._workers), woken])
            for worker in list(self._workers):
                self._listen(worker)
                if not worker.process.is_alive():
                    self._take_leave(worker)
            if not said_ready and all(worker.is_ready for worker in self._workers):
                said_ready = True
                is_ready()

    def _start(self) -> Worker:
        context = multiprocessing.get_context("spawn")
        says, said = context.Pipe(duplex=False)
        process = context.Process(
            target=run_worker, args=(self._listener, self._model, self._settings, said), daemon=False
        )
        process.start()
        said.close()
        return Worker(process, says)

    def _listen(self, worker: Worker) -> None:
        while not worker.has_closed and worker.says.poll():
            try:
                message = worker.says.recv()
            except EOFError:
                worker.has_closed = True
                return
            if isinstance(message, OcrError):
                raise message
            worker.is_ready = True
            self._early_ends = 0

    def _take_leave(self, worker: Worker) -> None:
        """Of a process that has ended by itself or was killed."""
        from prometheus_client.multiprocess import mark_process_dead

        self._workers.remove(worker)
        mark_process_dead(worker.process.pid)  # type: ignore[no-untyped-call]
        if self._stops:
            return
        self._early_ends += not worker.is_ready
        if self._early_ends > MOST_EARLY_ENDS:
            raise OcrError(
                f"{self._early_ends} processes in a row ended before they could serve; see their errors above"
            )
        code = worker.process.exitcode
        print(f"{SENTENCE}process {worker.process.pid} ended with {code}; it is started again", file=sys.stderr)
        if not worker.is_ready:
            time.sleep(PAUSE_S)

    def _end(self) -> bool:
        self._listener.close()
        until_s = time.monotonic() + self._settings.shutdown_timeout_s + 1
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(max(0.0, until_s - time.monotonic()))
        return all(worker.process.exitcode == 0 for worker in self._workers if worker.is_ready)
