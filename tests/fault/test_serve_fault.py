"""A server that is told to stop, and one whose processes are killed."""

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest

from tests.unit.recognizer.packages import CLASS_GEOMETRY, CLASSES, write_package
from tests.unit.serve.pictures import PNG, request, word

pytestmark = pytest.mark.fault
PATIENCE_S = 120
CONNECTIONS = 24


class Sent(NamedTuple):
    """A request of which every byte was sent."""

    at_s: float
    """When."""
    status: int
    """Of its answer; 0: there was none."""


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    return write_package(tmp_path_factory.mktemp("export") / "small")


@contextlib.contextmanager
def serving(package: Path, *options: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """`horovod-ocr serve` in a process of its own, and its address."""
    command = [sys.executable, "-m", "horovod_ocr", "serve", str(package), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+:\d+", line)
        assert found, line + process.stderr.read()
        yield process, found[0]
    finally:
        for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
            child.kill()
        process.kill()
        process.communicate()


async def send_on(url: str, keeps: bool, sent: list[Sent]) -> None:
    """Requests on one connection, or each on its own, until the server takes no more."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    number = 0
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except ConnectionError:
            return
        try:
            is_open = True
            while is_open:
                number += 1
                head = await exchange(reader, writer, word(number % 7), sent)
                is_open = keeps and head is not None and b"connection: close" not in head
            if head is None:
                return
        finally:
            writer.close()


async def exchange(reader, writer, image: bytes, sent: list[Sent]) -> bytes | None:
    """The head of the answer; None if the connection has ended."""
    writer.write(request(image))
    if writer.transport.is_closing():
        return None
    assert writer.transport.get_write_buffer_size() == 0  # the kernel has it
    at_s = time.monotonic()
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        await reader.readexactly(length)
    except (ConnectionError, asyncio.IncompleteReadError):
        sent.append(Sent(at_s, 0))
        return None
    sent.append(Sent(at_s, int(head[9:12])))
    return head


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_sigterm_under_load_loses_nothing(package, draw: random.Random, repeats, options):
    for _ in range(repeats):
        sent: list[Sent] = []
        with serving(package, *options) as (process, url):

            async def load_and_stop(process=process, url=url, sent=sent) -> float:
                loads = [asyncio.ensure_future(send_on(url, number % 2 == 0, sent)) for number in range(CONNECTIONS)]
                await asyncio.sleep(0.5 + draw.random())
                stopped_s = time.monotonic()
                process.send_signal(draw.choice((signal.SIGTERM, signal.SIGINT)))
                async with asyncio.timeout(PATIENCE_S):
                    await asyncio.gather(*loads)
                return stopped_s

            stopped_s = asyncio.run(load_and_stop())
            assert process.wait(PATIENCE_S) == 0, process.stderr.read()
        before = [each.status for each in sent if each.at_s < stopped_s]
        assert len(before) > 2 * CONNECTIONS and set(before) == {200}


def test_what_waits_in_the_queue_is_answered_after_sigterm(package):
    with serving(package, "--max-wait-ms", "800", "--max-batch", "64") as (process, url):
        host, _, port = url.removeprefix("http://").rpartition(":")
        connections = [socket.create_connection((host, int(port))) for _ in range(5)]
        for seed, connection in enumerate(connections):
            connection.sendall(request(word(seed)))
        process.send_signal(signal.SIGTERM)
        for connection in connections:
            with connection:
                assert connection.recv(20).startswith(b"HTTP/1.1 200")
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("before", [b"", request(word(2))])
def test_a_body_that_does_not_arrive_does_not_hold_the_end_up(package, before):
    """The server would wait for it for 30 s."""
    with serving(package) as (process, url), connected(url) as connection:
        connection.sendall(before + request(word(1))[:-1])
        assert httpx.get(f"{url}/readyz").status_code == 200
        process.send_signal(signal.SIGTERM)
        began_s = time.monotonic()
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
        assert re.findall(rb"HTTP/1.1 (\d+)", answers) == ([b"200"] if before else []) + [b"503"]
        assert answers.endswith(b'{"error":{"code":"stopping","message":"the server is stopping"}}')
        assert process.wait(PATIENCE_S) == 0 and process.stderr.read() == ""
        assert time.monotonic() - began_s < 15


def test_a_body_that_arrives_slowly_is_cut_at_the_end_of_the_time(package):
    with serving(package, "--shutdown-timeout-s", "4") as (process, url), connected(url) as connection:
        body = request(word(1))
        connection.sendall(body[:-100])
        assert httpx.get(f"{url}/readyz").status_code == 200
        process.send_signal(signal.SIGTERM)
        for number in range(100, 1, -1):
            with contextlib.suppress(ConnectionError):
                connection.sendall(body[-number : -number + 1])
            if process.poll() is not None:
                break
            time.sleep(0.2)
        assert connection.recv(65536).startswith(b"HTTP/1.1 503")
        assert process.wait(PATIENCE_S) == 0 and process.stderr.read() == ""


def test_a_body_that_arrives_after_the_signal_is_read(package):
    with serving(package) as (process, url), connected(url) as connection:
        body = request(word(1))
        connection.sendall(body[:-50])
        assert httpx.get(f"{url}/readyz").status_code == 200
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        connection.sendall(body[-50:])
        assert connection.recv(20).startswith(b"HTTP/1.1 200")
        assert process.wait(PATIENCE_S) == 0


def connected(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE_S)


@pytest.mark.parametrize("becomes", ["another", "nothing"])
def test_a_process_that_is_started_again_serves_the_same_model(package, tmp_path, becomes):
    served = shutil.copytree(package, tmp_path / "export")
    with serving(served, "--workers", "2") as (process, url):
        expected = httpx.post(f"{url}/v1/read", content=word(1), headers=PNG).json()["text"]
        shutil.rmtree(served)
        if becomes == "another":
            write_package(served, CLASSES, CLASS_GEOMETRY)
        for killed in workers_of(process):  # at the end no process is left that has seen the export
            os.kill(killed, signal.SIGKILL)
            assert "ended with -9; it is started again" in process.stderr.readline()
            wait_until(lambda killed=killed: killed not in workers_of(process) and serving_processes(url) == 2)
        for _ in range(20):
            assert httpx.post(f"{url}/v1/read", content=word(1), headers=PNG).json()["text"] == expected
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0 and process.stderr.read() == ""


def serving_processes(url: str) -> int:
    return len(set(processes_in(httpx.get(f"{url}/metrics").text)))


def test_processes_end_with_their_supervisor(package):
    with serving(package, "--workers", "2") as (process, url):
        workers = workers_of(process)
        assert len(workers) == 2
        process.kill()
        process.wait(PATIENCE_S)
        wait_until(lambda: not any(psutil.pid_exists(worker) for worker in workers))
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/healthz")


def test_a_killed_process_is_started_again(package):
    with serving(package, "--workers", "2") as (process, url):
        workers = workers_of(process)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: workers[0] not in workers_of(process) and len(workers_of(process)) == 2)
        assert "ended with -9; it is started again" in process.stderr.readline()
        for seed in range(20):
            assert httpx.post(f"{url}/v1/read", content=word(seed), headers=PNG).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def test_metrics_are_of_all_processes(package):
    with serving(package, "--workers", "2") as (process, url):
        os.kill(workers_of(process)[0], signal.SIGKILL)
        assert "started again" in process.stderr.readline()
        for seed in range(30):
            assert httpx.post(f"{url}/v1/read", content=word(seed), headers=PNG).status_code == 200
        wait_until(lambda: len(set(processes_in(httpx.get(f"{url}/metrics").text))) == 2)
        for _ in range(8):  # whichever is asked
            text = httpx.get(f"{url}/metrics").text
            assert 'horovod_ocr_requests_total{path="/v1/read",status="200"} 30.0' in text
            assert "horovod_ocr_images_read_total 30.0" in text and len(processes_in(text)) == 2


def processes_in(text: str) -> list[str]:
    return re.findall(r'horovod_ocr_resident_memory_bytes\{pid="(\d+)"\}', text)


def workers_of(process: subprocess.Popen) -> list[int]:
    """Not the resource tracker of multiprocessing."""
    pids = []
    for child in psutil.Process(process.pid).children():
        with contextlib.suppress(psutil.Error):  # it has just ended
            if "spawn_main" in " ".join(child.cmdline()):
                pids.append(child.pid)
    return sorted(pids)


def wait_until(condition) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_model_that_cannot_be_loaded_is_one_sentence(package, tmp_path):
    broken = write_package(tmp_path / "broken")
    (broken / "model.int8.onnx").write_bytes(b"x")
    command = [sys.executable, "-m", "horovod_ocr", "serve", str(broken), "--port", "0", "--workers", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 3 and "damaged" in ended.stderr and "Traceback" not in ended.stderr
    assert ended.stdout == ""
