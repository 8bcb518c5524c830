"""Clients that do not do as HTTP clients do: bare sockets."""

import json
import socket
import time

import pytest

from horovod_ocr.serve.protocol import MOST_HEADER_BYTES, MOST_PIPELINED, SPARE_CONNECTIONS
from tests.unit.serve.pictures import PNG, answer_on, request, word

SHORT = {"body_timeout_s": 0.3}


def refusal(connection: socket.socket) -> tuple[int, str]:
    """Status and code of the last answer: the connection ends with it."""
    status, answer, head = answer_on(connection)
    assert b"connection: close" in head
    assert connection.recv(1) == b""
    return status, answer["error"]["code"]


def test_what_is_not_http_is_refused_in_json(server):
    for nonsense in (b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n"):
        with server.connect() as connection:
            connection.sendall(nonsense)
            assert refusal(connection) == (400, "bad_http")


def test_headers_have_a_limit(server):
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        line = b"x: " + b"y" * 1000 + b"\r\n"
        with pytest.raises((BrokenPipeError, ConnectionResetError, AssertionError)):
            for _ in range(40 * MOST_HEADER_BYTES // len(line)):
                connection.sendall(line)
            raise AssertionError("headers without end were taken")
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nx: " + b"y" * MOST_HEADER_BYTES + b"\r\n\r\n")
        assert refusal(connection) == (431, "headers")


def test_a_body_that_does_not_arrive_ends_with_408(run_server, package):
    server = run_server(package, **SHORT)
    with server.connect() as connection:
        connection.sendall(request(word(1))[:-10])
        assert refusal(connection) == (408, "timeout")


def test_headers_that_do_not_arrive_end_with_408(run_server, package):
    server = run_server(package, **SHORT)
    for begun in (b"", b"POST /v1/read HTTP/1.1\r\nHost:"):
        with server.connect() as connection:
            connection.sendall(begun)
            assert refusal(connection) == (408, "timeout")


def test_a_client_that_sends_slowly_holds_no_one_up(run_server, package):
    """And it may, as long as it is done in time."""
    server = run_server(package, **SHORT)
    body = request(word(1))
    with server.connect() as slow:
        slow.sendall(body[:200])
        assert server.client.post("/v1/read", content=word(2), headers=PNG).status_code == 200
        slow.sendall(body[200:])
        assert answer_on(slow)[0] == 200


def test_too_many_connections_are_told(run_server, package):
    server = run_server(package, max_connections=3)
    server.client.close()
    held = [server.connect() for _ in range(3)]
    try:
        for connection in held:
            connection.sendall(request(word(1)))
            assert answer_on(connection)[0] == 200
        with server.connect() as one_more:
            one_more.sendall(request(word(1)))
            assert refusal(one_more) == (429, "busy")
        more = [server.connect() for _ in range(SPARE_CONNECTIONS + 5)]
        held += more
        more[-1].settimeout(5)
        with pytest.raises(ConnectionError):  # closed, not answered
            more[-1].sendall(request(word(1)))
            if more[-1].recv(1) == b"":
                raise ConnectionError
    finally:
        for connection in held:
            connection.close()
    deadline = time.monotonic() + 10
    while server.server.server_state.connections and time.monotonic() < deadline:
        time.sleep(0.01)
    with server.connect() as connection:
        connection.sendall(request(word(1)))
        assert answer_on(connection)[0] == 200


def test_requests_sent_at_once_are_answered_in_order(server):
    with server.connect() as connection:
        connection.sendall(request(word(1)) + request(b"no image") + request(word(1)))
        first, second, third = (answer_on_pipeline(connection) for _ in range(3))
    assert [first[0], second[0], third[0]] == [200, 415, 200] and first[1]["text"] == third[1]["text"]


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_an_upgrade_is_not_made_and_its_body_is_read(server, protocol, step):
    """Java's HttpClient asks for HTTP/2 with its first request."""
    asked = f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAEAAEAA\r\n\r\n".encode()
    images = [word(1), word(2)]
    upgrading = [request(image).replace(b"\r\n\r\n", b"\r\n" + asked, 1) for image in images]
    sent = upgrading[0] + request(images[1]) + upgrading[1] + b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + asked
    expected = [server.client.post("/v1/read", content=image, headers=PNG).json() for image in images]
    with server.connect() as connection:
        for start in range(0, len(sent), step):
            connection.sendall(sent[start : start + step])
        answers = [answer_on_pipeline(connection) for _ in range(4)]
    assert [status for status, _ in answers] == [200] * 4 and answers[3][1] == {"status": "alive"}
    read = [answer["text"] for _, answer in answers[:3]]
    assert read == [expected[0]["text"], expected[1]["text"], expected[1]["text"]]


def test_an_upgrade_in_what_follows_a_chunked_body_repeats_nothing(server):
    head = b"POST /v1/read HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nConnection: upgrade\r\n"
    image = word(1)
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nUpgrade: h2c\r\n\r\n" % (len(image), image)
    with server.connect() as connection:
        connection.sendall(head + chunks + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer_on_pipeline(connection)[0] == 200
        assert answer_on_pipeline(connection) == (200, {"status": "alive"})


@pytest.mark.parametrize(
    "framing",
    [
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 22 + b"\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n",
        b"Transfer-Encoding: identity\r\n\r\nabc",
    ],
)
@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("path", [b"/v1/read", b"/v1/read/batch"])
def test_a_body_that_is_not_http_is_refused_in_its_turn(server, framing, before, path):
    kind = b"image/png" if path == b"/v1/read" else b"application/zip"
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\n" % (path, kind)
    with server.connect() as connection:
        connection.sendall(request(word(1)) * before + head + framing)
        for _ in range(before):
            assert answer_on_pipeline(connection)[0] == 200
        assert refusal(connection) == (400, "bad_http")


def test_what_was_sent_before_nonsense_is_answered(server):
    with server.connect() as connection:
        connection.sendall(request(word(1)) * 3 + b"nonsense\r\n\r\n")
        assert [answer_on_pipeline(connection)[0] for _ in range(3)] == [200] * 3
        assert refusal(connection) == (400, "bad_http")


def test_too_many_requests_at_once_are_told_after_the_answers_to_the_first(server):
    with server.connect() as connection:
        connection.sendall(request(word(1)) * (MOST_PIPELINED + 10))
        statuses = [answer_on_pipeline(connection)[0] for _ in range(MOST_PIPELINED + 1)]
        assert statuses == [200] * (MOST_PIPELINED + 1)
        status, answer, head = answer_on(connection)
        assert (status, answer["error"]["code"]) == (429, "pipeline") and b"retry-after: 1" in head
        assert connection.recv(1) == b""


def answer_on_pipeline(connection: socket.socket) -> tuple[int, dict]:
    """Byte for byte, so that nothing of the next answer is taken."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, "closed"
        head += byte
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
    return int(head[9:12]), json.loads(connection.recv(length, socket.MSG_WAITALL))


def test_requests_without_end_are_not_kept(server):
    with server.connect() as connection:
        with pytest.raises(ConnectionError):
            for _ in range(1000 * MOST_PIPELINED):
                connection.sendall(request(word(1)))
            raise AssertionError("they were taken")


def test_asks_for_the_body_only_if_it_will_be_read(run_server, package):
    """Expect: 100-continue, as curl sends it before a large body."""
    server = run_server(package)

    def expecting(length: int) -> bytes:
        return (
            b"POST /v1/read HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % length
        )

    with server.connect() as connection:
        connection.sendall(expecting(10**9))
        assert answer_on(connection)[0] == 413
    with server.connect() as connection:
        connection.sendall(expecting(len(word(1))))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(word(1))
        assert answer_on(connection)[0] == 200


def test_a_client_that_goes_away_leaves_nothing_behind(server):
    service = server.service
    for cut in (0, 100):
        connection = server.connect()
        body = request(word(1))
        connection.sendall(body[: len(body) - cut])
        connection.close()
    deadline = time.monotonic() + 10
    while (service.held._held or service.batcher.waiting) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert service.held._held == 0 and service.batcher.waiting == 0


def test_an_image_of_a_client_that_went_away_is_not_read(run_server, package):
    server = run_server(package, max_wait_ms=1000.0, max_batch=63)
    service = server.service
    with server.connect() as connection:
        connection.sendall(request(word(1)))
        while not service.batcher.waiting:
            time.sleep(0.001)
    deadline = time.monotonic() + 10
    while service.batcher.waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    answer = server.client.get("/metrics").text
    assert service.batcher.waiting == 0
    assert "horovod_ocr_images_read_total 0.0" in answer
    assert 'horovod_ocr_rejected_total{reason="client_gone"} 1.0' in answer
