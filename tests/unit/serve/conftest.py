"""Servers on loopback, each in a thread of the test process: with real connections, but no process to wait for."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from horovod_ocr.recognizer.package import read_package
from horovod_ocr.serve import server as server_module
from horovod_ocr.serve.server import Server, serve
from horovod_ocr.serve.settings import ServeSettings
from tests.unit.recognizer.packages import CLASS_GEOMETRY, CLASSES, write_package

PATIENCE_S = 60


class Running:
    """A server that runs."""

    def __init__(self, package: Path, settings: ServeSettings) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._is_ready = threading.Event()
        self._thread = threading.Thread(
            target=serve, args=(self.listener, read_package(package), settings, self._start)
        )
        self._thread.start()
        assert self._is_ready.wait(PATIENCE_S)
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE_S)

    def _start(self, server: Server) -> None:
        self.server = server
        self.service = server._service
        self._is_ready.set()

    def stop(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)


@pytest.fixture(scope="session")
def package(tmp_path_factory) -> Path:
    """An export of words."""
    return write_package(tmp_path_factory.mktemp("export") / "small")


@pytest.fixture(scope="session")
def class_package(tmp_path_factory) -> Path:
    """An export of classes."""
    return write_package(tmp_path_factory.mktemp("export") / "classes", CLASSES, CLASS_GEOMETRY)


@pytest.fixture(scope="session")
def run_server() -> Iterator[Callable[..., Running]]:
    """run_server(package, **settings) -> one that runs until the end of the session; equal ones are shared."""
    running: dict[tuple[Path, ServeSettings], Running] = {}

    def run(package: Path, **settings) -> Running:
        key = package, ServeSettings(**settings)
        if key not in running:
            running[key] = Running(*key)
        return running[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_module, "LAST_CALL_S", 0.0)
        yield run
        for each in running.values():
            each.stop()


@pytest.fixture
def server(run_server, package) -> Running:
    """With the usual settings."""
    return run_server(package)
