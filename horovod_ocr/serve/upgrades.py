"""uvicorn's HTTP/1.1 without other protocols: a request that asks for one is answered as if it did not, as HTTP allows.

Java's client asks for HTTP/2 with its first request. httptools takes what follows such headers for the other protocol,
and the body would be lost, so the headers are parsed again without `Upgrade`.
"""

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from horovod_ocr.serve.failures import ApiError


class OneProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._upgrades = False

    def parse(self, data: bytes) -> None:
        """Parse more of the connection. httptools.HttpParserError if it is not HTTP."""
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = data[upgrade.args[0] :]
                data = self._head_without_upgrade() + rest if self._upgrades else rest
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._upgrades = False

    def on_headers_complete(self) -> None:
        self._upgrades = self.parser.should_upgrade()
        if self._upgrades and self.parser.get_method() == b"CONNECT":  # there is no request without the upgrade
            raise bad_http()
        if not self._upgrades:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._upgrades:
            super().on_message_complete()


def bad_http() -> ApiError:
    """400."""
    return ApiError(400, "bad_http", "not a valid request of HTTP/1.1")
