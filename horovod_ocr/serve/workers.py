"""Several processes that serve on one socket, and their supervisor, which starts anew what was killed."""

import multiprocessing
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import DupFd
from typing import IO, Any

from horovod_ocr.console import SENTENCE
from horovod_ocr.errors import OcrError
from horovod_ocr.recognizer.package import Package
from horovod_ocr.serve.metrics import FOLDER_VARIABLE
from horovod_ocr.serve.settings import ServeSettings

MOST_EARLY_ENDS = 5  # in a row, before they have served: something is wrong with all of them
PAUSE_S = 0.5
READY_MESSAGE = "ready"


class SharedPackage:
    """An export in a file without a name, which processes inherit: all serve the same, whatever becomes of its path.

    It is too large for the pipe through which a process gets its arguments: if that process died before it had read
    them, the supervisor would wait for ever.
    """

    def __init__(self, package: Package) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()
        self._descriptor = self._file.fileno()
        self._file.write(pickle.dumps(package))
        self._file.flush()

    def __getstate__(self) -> Any:
        return DupFd(self._descriptor)  # for the process that is being started

    def __setstate__(self, descriptor: Any) -> None:
        self._descriptor = descriptor.detach()
        self._file = open(self._descriptor, "rb")

    def read(self) -> Package:
        """The package. Processes share the place in the file, so this does not move it."""
        size = os.fstat(self._descriptor).st_size
        content = bytearray()
        while len(content) < size:  # one call reads at most 2 GB
            content += os.pread(self._descriptor, size - len(content), len(content))
        package: Package = pickle.loads(content)
        return package

    def close(self) -> None:
        """In this process."""
        self._file.close()


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


def run_worker(listener: socket.socket, shared: SharedPackage, settings: ServeSettings, says: Connection) -> None:
    """What a process does."""
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    from horovod_ocr.serve.server import serve  # after the environment was set for metrics

    try:
        package = shared.read()
        shared.close()
        answered = serve(listener, package, settings, lambda _: says.send(READY_MESSAGE))
    except OcrError as error:
        says.send(error)
        sys.exit(error.exit_code)
    sys.exit(0 if answered else 1)


def _end_with_supervisor() -> None:
    # If the supervisor is killed, nothing could stop its processes, and the port would stay taken.
    supervisor = multiprocessing.parent_process()
    assert supervisor
    wait([supervisor.sentinel])
    os._exit(1)


class Supervisor:
    """Keeps as many processes serving as were asked for, until a signal."""

    def __init__(self, listener: socket.socket, package: Package, settings: ServeSettings, count: int) -> None:
        self._listener = listener
        self._shared = SharedPackage(package)
        self._settings = settings
        self._count = count
        self._workers: list[Worker] = []
        self._have_served = False
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
                self._shared.close()
                signal.set_wakeup_fd(-1)
                for each, handler in before.items():
                    signal.signal(each, handler)
                del os.environ[FOLDER_VARIABLE]

    def _stop(self, *_: object) -> None:
        self._stops = True

    def _supervise(self, woken: socket.socket, is_ready: Callable[[], None]) -> None:
        while not self._stops:
            while len(self._workers) < self._count:
                self._workers.append(self._start())
            says = [worker.says for worker in self._workers if not worker.has_closed]
            wait([*says, *(worker.process.sentinel for worker in self._workers), woken])
            for worker in list(self._workers):
                self._listen(worker)
                if not worker.process.is_alive():
                    self._take_leave(worker)
            if not self._have_served and all(worker.is_ready for worker in self._workers):
                self._have_served = True
                is_ready()

    def _start(self) -> Worker:
        context = multiprocessing.get_context("spawn")
        says, said = context.Pipe(duplex=False)
        process = context.Process(
            target=run_worker, args=(self._listener, self._shared, self._settings, said), daemon=False
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
            if isinstance(message, OcrError) and not self._have_served:
                raise message
            if isinstance(message, OcrError):  # the others go on
                print(f"{SENTENCE}{message}", file=sys.stderr)
                continue
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
