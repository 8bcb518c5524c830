"""Images of words as files, and requests with them."""

import io
import json
import socket
import zipfile

import numpy as np
from PIL import Image

from tests.unit.recognizer.packages import random_word

PNG = {"Content-Type": "image/png"}


def png_of(levels: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, form)
    return buffer.getvalue()


def word(seed: int, width: int = 60) -> bytes:
    """The file of a random word."""
    return png_of(random_word(seed, width))


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def request(body: bytes, path: str = "/v1/read", kind: str = "image/png") -> bytes:
    """As it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def answer_on(connection: socket.socket) -> tuple[int, dict, bytes]:
    """Status, body and head of the next response; ConnectionError if there is none."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
    while len(body) < length:
        body += _some(connection)
    return int(head[9:12]), json.loads(body), head


def _some(connection: socket.socket) -> bytes:
    chunk = connection.recv(65536)
    if not chunk:
        raise ConnectionError("closed without an answer")
    return chunk
