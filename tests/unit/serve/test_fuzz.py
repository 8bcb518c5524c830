"""Bytes of strangers: whatever is sent, the answer is a reading or a 4xx, in time, and the next request is answered."""

import gc
import io
import struct
import types
import zipfile
import zlib

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.unit.recognizer.packages import random_word
from tests.unit.serve.pictures import PNG, png_of, word

LEFT_OVER = b"left over! "
FORMS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
FILES = [png_of(random_word(seed), form) for seed, form in enumerate(FORMS)]
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def is_answered(answer: httpx.Response) -> bool:
    if answer.status_code == 200:
        return "text" in answer.json()
    return 400 <= answer.status_code < 500 and bool(answer.json()["error"]["message"])


@st.composite
def damaged_files(draw) -> bytes:
    """A whole file with some bytes changed, and cut."""
    content = bytearray(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(0, 8))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


@relaxed
@given(damaged_files() | st.binary(max_size=300), st.sampled_from(["image/png", "image/jpeg", "application/x"]))
def test_damaged_images(server, content, kind):
    answer = server.client.post("/v1/read", content=content, headers={"Content-Type": kind})
    assert is_answered(answer), (answer.status_code, answer.text)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_that_says(width: int, height: int, data: bytes, depth: int = 8, colour: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@relaxed
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.sampled_from([1, 8, 16, 77]), st.integers(0, 7))
def test_headers_that_say_what_is_not_there(server, width, height, depth, colour):
    content = png_that_says(width, height, zlib.compress(bytes(1000)), depth, colour)
    assert is_answered(server.client.post("/v1/read", content=content, headers=PNG))


def test_a_bomb_is_refused_before_it_is_decoded(server):
    bomb = png_that_says(30_000, 30_000, zlib.compress(bytes(30_000 * 30_001 // 90)) * 90)
    answer = server.client.post("/v1/read", content=bomb, headers=PNG)
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "too_many_pixels"


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "I;16", "F"])
def test_pixels_of_any_kind(server, mode):
    buffer = io.BytesIO()
    Image.new(mode, (60, 40)).save(buffer, "TIFF")
    assert is_answered(server.client.post("/v1/read", content=buffer.getvalue(), headers=PNG))


def test_a_refused_image_leaves_nothing_in_memory(server):
    """Errors hold the variables of what they came through, and each other."""
    content = LEFT_OVER * 100_000
    gc.collect()
    gc.disable()
    try:
        for sent in (content, word(1)[:-100] + content, b"\xff\xd8\xff" + content):
            assert is_answered(server.client.post("/v1/read", content=sent, headers=PNG))
            server.client.post("/v1/read/batch", files=[("images", sent)])
        # type(), not isinstance(): some objects of other packages warn if they are asked for their class
        frames = [each for each in gc.get_objects() if type(each) is types.FrameType]
        assert [each for each in frames for held in gc.get_referents(each) if is_left_over(held)] == []
    finally:
        gc.enable()


def is_left_over(held: object) -> bool:
    return type(held) in (bytes, bytearray) and len(held) > 500_000 and LEFT_OVER * 2 in held


@st.composite
def damaged_zips(draw) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as archive:
        for number in range(draw(st.integers(0, 3))):
            archive.writestr(
                draw(st.text(st.characters(codec="utf-8", min_codepoint=1), max_size=8)) or "x", word(number)
            )
    content = bytearray(buffer.getvalue())
    for _ in range(draw(st.integers(0, 6))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@relaxed
@given(damaged_zips() | st.binary(max_size=100).map(lambda rest: b"PK\x03\x04" + rest))
def test_damaged_zips(server, content):
    for sent in (
        {"content": content, "headers": {"Content-Type": "application/zip"}},
        {"files": [("images", content), ("images", word(1))]},
    ):
        answer = server.client.post("/v1/read/batch", **sent)
        if answer.status_code == 200:
            assert all("reading" in item or 400 <= item["status"] < 500 for item in answer.json()["items"])
        else:
            assert 400 <= answer.status_code < 500, answer.text


@relaxed
@given(st.binary(max_size=400), st.binary(max_size=30))
def test_forms_of_any_bytes(server, content, boundary):
    kind = b"multipart/form-data; boundary=" + bytes(each for each in boundary if 32 < each < 127)
    for path in ("/v1/read", "/v1/read/batch"):
        answer = server.client.post(path, content=content, headers={b"Content-Type": kind})
        assert 400 <= answer.status_code < 500, answer.text


@relaxed
@given(st.text(max_size=40), st.text(max_size=20), st.binary(max_size=300))
def test_names_of_any_letters(server, name, field, content):
    answer = server.client.post("/v1/read/batch", files=[("images", (name, content)), (field or "x", (name, b"y"))])
    assert answer.status_code in (200, 400), answer.text


@relaxed
@given(st.binary(max_size=300))
def test_any_bytes_instead_of_http(server, content):
    with server.connect() as connection:
        connection.sendall(content)
        connection.shutdown(1)
        connection.recv(1000)
    assert server.client.get("/healthz").status_code == 200
