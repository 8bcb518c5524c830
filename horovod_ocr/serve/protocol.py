"""uvicorn's HTTP/1.1 with limits that it lacks: on connections, on headers, and on clients that do not read or write.

A request that breaks one is answered with an error in JSON, after those that came before it, and its connection ends.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from horovod_ocr.serve.edge import LINGER_S, App, Receive, Scope, Send, send_error
from horovod_ocr.serve.failures import BROKEN, ApiError, busy
from horovod_ocr.serve.metrics import Metrics
from horovod_ocr.serve.settings import ServeSettings
from horovod_ocr.serve.upgrades import OneProtocol, bad_http

MOST_HEADER_BYTES = 32_768
MOST_PIPELINED = 16  # requests that a client sends before it has read the answer to the first
SPARE_CONNECTIONS = 64  # over the limit: they are told so; more are closed at once
RETRY = {"Retry-After": "1"}
STALLED_WRITE_S = 30.0
STALLED_BODY_S = 2.0  # while the server stops
MOST_DROPPED_BYTES = 1 << 18  # of what a client sends after it was refused; the connection ends after them


class LimitedProtocol(OneProtocol):
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
        self._end_timer: asyncio.TimerHandle | None = None
        self._received_s = 0.0
        self._is_deaf = False
        self._refusal: ApiError | None = None
        self._dropped_bytes = 0

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
        for timer in (self._write_timer, self._end_timer):
            if timer:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received_s = self.loop.time()
        if self._is_deaf:
            self._drop(len(data))
            return
        self._unset_keepalive_if_required()
        try:
            self.parse(data)
        except httptools.HttpParserError:
            if self._lacks_body and not self._in_headers:
                self._break(bad_http())
            else:
                self._refuse(bad_http())
        if not self._in_headers or self._is_deaf:
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
            error = ApiError(429, "pipeline", f"more than {MOST_PIPELINED} requests were sent at once", RETRY)
            self._refuse(error)
            raise error  # which stops the parser
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refusal and self.cycle.response_complete:
            self._send_refusal(self._refusal)

    def cut_if_stalled(self, since_s: float) -> None:
        """Answer a request 503 if nothing of its body has come for a while, at least not since then."""
        waited_s = self.loop.time() - max(since_s, self._received_s)
        if self._lacks_body and not self.pipeline and not self._is_deaf and waited_s >= STALLED_BODY_S:
            self._break(ApiError(503, "stopping", "the server is stopping"))

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

    @property
    def _lacks_body(self) -> bool:
        return self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete

    def _break(self, error: ApiError) -> None:
        """Let the request whose body is arriving be answered with an error, in its turn, and end the connection."""
        self._is_deaf = True
        self.cycle.scope[BROKEN] = error  # type: ignore[literal-required]
        self.cycle.message_event.set()

    def _refuse(self, error: ApiError) -> None:
        """Answer what is no request, after the requests before it, and end the connection."""
        if self._is_deaf or self.transport.is_closing():
            return
        self._is_deaf = True
        self.metrics.count_rejected(error.code)
        if self.cycle is None or self.cycle.response_complete:
            self._send_refusal(error)
        else:
            self._refusal = error

    def _send_refusal(self, error: ApiError) -> None:
        if self.transport.is_closing():
            return
        self._refusal = None
        headers = {"content-type": "application/json", "content-length": str(len(error.content)), "connection": "close"}
        lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in {**error.headers, **headers}.items())
        self.transport.write(STATUS_LINE[error.status] + lines.encode() + b"\r\n" + error.content)
        # closed at once, the connection would be reset if the client still sends, and the answer lost
        self.transport.write_eof()
        self._end_timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _drop(self, count: int) -> None:
        """Bytes that a client sends although it was refused, or will be."""
        self._dropped_bytes += count
        if self._dropped_bytes > MOST_DROPPED_BYTES:
            if self._end_timer:
                self.transport.close()
            else:
                self.flow.pause_reading()


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
