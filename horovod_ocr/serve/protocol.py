"""uvicorn's HTTP/1.1 with limits that it lacks: on connections, on headers, and on clients that do not read or write.

A request that breaks one is answered with an error in JSON, and its connection ends.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from horovod_ocr.serve.edge import App, Receive, Scope, Send, send_error
from horovod_ocr.serve.failures import ApiError, busy
from horovod_ocr.serve.metrics import Metrics
from horovod_ocr.serve.settings import ServeSettings

MOST_HEADER_BYTES = 32_768
MOST_PIPELINED = 16  # requests that a client sends before it has read the answer to the first
SPARE_CONNECTIONS = 64  # over the limit: they are told so; more are closed at once
STALLED_WRITE_S = 30.0


class LimitedProtocol(HttpToolsProtocol):
    """One connection. `protocol_with` gives it its limits."""

    settings: ServeSettings
    """Its limits."""
    metrics: Metrics
    """What counts refusals."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_headers = False
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        over = len(self.connections) - self.settings.max_connections
        if over > SPARE_CONNECTIONS:
            self.metrics.count_rejected("connections")
            transport.abort()
        elif over > 0:
            self.app = refusing(busy(f"more than {self.settings.max_connections:,} connections are open", 1))
            self.metrics.count_rejected("connections")
        self._header_timer = self._close_later()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_header_timer()
        if self._write_timer:
            self._write_timer.cancel()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_headers:
            return
        self._header_bytes += len(data)
        if self._header_bytes > MOST_HEADER_BYTES:
            self._refuse(headers_too_long())
        elif self._header_timer is None:
            self._header_timer = self._close_later()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers, self._header_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_header_timer()
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > MOST_HEADER_BYTES:
            self.app = refusing(headers_too_long())
        if len(self.pipeline) >= MOST_PIPELINED:
            self._refuse(ApiError(429, "pipeline", f"more than {MOST_PIPELINED} requests were sent at once"))
        else:
            super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(ApiError(400, "bad_http", "not a valid request of HTTP/1.1"))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(STALLED_WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer:
            self._write_timer.cancel()

    def _close_later(self) -> asyncio.TimerHandle:
        return self.loop.call_later(self.settings.body_timeout_s, self._give_up)

    def _give_up(self) -> None:
        self._refuse(ApiError(408, "timeout", f"no request arrived within {self.settings.body_timeout_s:g} s"))

    def _stop_header_timer(self) -> None:
        if self._header_timer:
            self._header_timer.cancel()
            self._header_timer = None

    def _refuse(self, error: ApiError) -> None:
        """Answer and close, if nothing else is being answered."""
        if self.transport.is_closing():
            return
        self.metrics.count_rejected(error.code)
        if self.cycle is None or self.cycle.response_complete:
            content = error.content
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(content)
            self.transport.write(STATUS_LINE[error.status] + head + content)
        self.transport.close()


def headers_too_long() -> ApiError:
    """431."""
    return ApiError(431, "headers", f"the headers are longer than {MOST_HEADER_BYTES:,} bytes")


def refusing(error: ApiError) -> App:
    """An application that answers every request with an error and ends the connection."""
    refusal = ApiError(error.status, error.code, error.message, {**error.headers, "Connection": "close"})

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await send_error(refusal, send)

    return refuse


def protocol_with(settings: ServeSettings, metrics: Metrics) -> type[LimitedProtocol]:
    """The class of a process's connections."""
    return type("Protocol", (LimitedProtocol,), {"settings": settings, "metrics": metrics})
