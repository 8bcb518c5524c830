"""The body of a request, with limits: as many bytes as are allowed, in the time that is allowed."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from horovod_ocr.serve.failures import ApiError, ClientGoneError, busy, too_large
from horovod_ocr.serve.settings import ServeSettings

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
MOST_HEADER_BYTES = 4096  # of a part of a form
MOST_NAME = 255
SPARE_PARTS = 16  # of a form, beside files: texts that nobody asked for


class HeldBytes:
    """The bytes of all bodies that are held at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    def take(self, count: int) -> None:
        """ApiError 429 if there is no room for them."""
        if self._held + count > self._most:
            raise busy("the server holds as many bytes of other requests as it may", 1)
        self._held += count

    def give_back(self, count: int) -> None:
        """Those that were taken."""
        self._held -= count


@dataclass(frozen=True)
class NamedFile:
    """One file of several."""

    name: str
    """As the client calls it."""
    content: bytes | ApiError
    """Its bytes, or why they are not taken."""


class Body:
    """The body of one request. As a context it gives back what it held."""

    def __init__(self, headers: list[tuple[bytes, bytes]], receive: Receive, held: HeldBytes) -> None:
        """headers: their names in lower case."""
        self._headers = dict(headers)
        self._receive = receive
        self._held = held
        self._taken = 0

    def __enter__(self) -> "Body":
        return self

    def __exit__(self, *error: object) -> None:
        self._held.give_back(self._taken)

    def header(self, name: bytes) -> str:
        """Its value; empty if it is missing."""
        return self._headers.get(name, b"").decode("latin-1")

    @property
    def media_type(self) -> str:
        """The Content-Type without parameters, in lower case."""
        return self.header(b"content-type").partition(";")[0].strip().lower()

    def hold(self, count: int) -> None:
        """Count more bytes that are held for this request until its end. ApiError 429 if there is no room for them."""
        self._held.take(count)
        self._taken += count

    async def read(self, most_bytes: int, option: str, timeout_s: float) -> bytes:
        """All of it. option: of the command, which raises the limit."""
        chunks: list[bytes] = []
        await self.read_into(chunks.append, most_bytes, option, timeout_s)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def read_into(self, take: Callable[[bytes], None], most_bytes: int, option: str, timeout_s: float) -> None:
        """Give its bytes to `take` as they come. ApiError 400, 408, 413, 415 or 429; ClientGoneError if they end too
        early."""
        if self.header(b"content-encoding").lower() not in ("", "identity"):
            raise ApiError(415, "content_encoding", "the body is compressed; send it without Content-Encoding")
        length = self.header(b"content-length")
        if length and (not length.isdecimal() or len(length) > 18):
            raise ApiError(400, "bad_length", "Content-Length is not a number of bytes")
        if length and int(length) > most_bytes:
            raise too_large("the body", most_bytes, option)
        received, more = 0, True
        try:
            async with asyncio.timeout(timeout_s):
                while more:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    chunk: bytes = message.get("body", b"")
                    more = message.get("more_body", False)
                    received += len(chunk)
                    if received > most_bytes:
                        raise too_large("the body", most_bytes, option)
                    self.hold(len(chunk))
                    if chunk:
                        take(chunk)
        except TimeoutError as error:
            raise ApiError(408, "timeout", f"the body did not arrive within {timeout_s:g} s") from error


async def read_form(body: Body, field: str, settings: ServeSettings) -> list[NamedFile]:
    """The files of a field of multipart/form-data, in their order. ApiError for a form that is none, or too large."""
    form = FormFiles(body.header(b"content-type"), field, settings)
    await body.read_into(form.feed, settings.max_request_bytes, "--max-request-bytes", settings.body_timeout_s)
    return form.end()


class FormFiles:
    """Parts of a form, parsed as they come."""

    def __init__(self, content_type: str, field: str, settings: ServeSettings) -> None:
        """content_type: with the boundary. field: of the files that are kept. ApiError 400 if it lacks one."""
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise ApiError(400, "bad_form", "Content-Type multipart/form-data lacks its boundary")
        self._settings = settings
        self._field = field
        self._files: list[NamedFile] = []
        self._header = self._value = b""
        self._disposition = b""
        self._header_bytes = self._parts = 0
        self._data: list[bytes] = []
        self._is_whole = False
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise ApiError(400, "bad_form", f"not a multipart form ({error})") from error

    def feed(self, chunk: bytes) -> None:
        """More of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise ApiError(400, "bad_form", f"not a multipart form ({error})") from error

    def end(self) -> list[NamedFile]:
        """The files."""
        if not self._is_whole:
            raise ApiError(400, "bad_form", "the multipart form is cut off")
        return self._files

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add_header(data[start:end], b""),
            "on_header_value": lambda data, start, end: self._add_header(b"", data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self._settings.max_files + SPARE_PARTS:
            raise too_many_files(self._settings.max_files)
        self._header = self._value = self._disposition = b""
        self._header_bytes = 0
        self._data = []

    def _add_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MOST_HEADER_BYTES:
            raise ApiError(400, "bad_form", f"the headers of a part are longer than {MOST_HEADER_BYTES:,} bytes")
        self._header += name
        self._value += value

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _end_part(self) -> None:
        options = parse_options_header(self._disposition)[1]
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if field == self._field and b"filename" not in options:
            raise ApiError(400, "bad_form", f"field `{field}` is a text; send a file, with a file name")
        if field == self._field:
            if len(self._files) >= self._settings.max_files:
                raise too_many_files(self._settings.max_files)
            name = options[b"filename"].decode("utf-8", "replace")
            self._files.append(NamedFile(name[:MOST_NAME], b"".join(self._data)))
        self._data = []

    def _end(self) -> None:
        self._is_whole = True


def too_many_files(most: int) -> ApiError:
    """413."""
    return ApiError(413, "too_many_files", f"more than {most} files in one request (--max-files)")
