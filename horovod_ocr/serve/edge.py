"""What every request passes: its token, its time, its status; and what becomes of a body that nobody has read.

Plain ASGI, because this runs for each request: starlette's middleware classes take ten times as long.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from horovod_ocr.serve.batcher import Wants
from horovod_ocr.serve.failures import BROKEN, CODE, ApiError, ClientGoneError, failure_of
from horovod_ocr.serve.reading import MOST_ALTERNATIVES
from horovod_ocr.serve.service import STARTING, STOPPING, Service
from horovod_ocr.serve.tokens import is_authorised

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)
PATHS = ("/v1/read", "/v1/read/batch", "/v1/model", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/")
GUARDED = ("/v1/", "/metrics")
GONE = 499  # as nginx counts a client that did not wait
LINGER_S = 2.0
ALWAYS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]


class Edge:
    """The outermost ASGI application of a process."""

    def __init__(self, app: App, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Only HTTP."""
        if scope["type"] != "http":
            return
        started_s = time.perf_counter()
        exchange = Exchange(scope, receive, send, self._service)
        try:
            self._check(scope)
            wants = None
            if scope["path"] == "/v1/read" and scope["method"] == "POST":
                wants = wants_of(scope["query_string"])
            if wants:
                content = await self._service.read_one(scope["headers"], exchange.receive, wants)
                await send_json(200, content, (), exchange.send)
            else:
                await self._app(scope, exchange.receive, exchange.send)
        except ApiError as error:
            scope[CODE] = error.code
            await send_error(error, exchange.send)
        except ClientGoneError:
            exchange.status, scope[CODE] = GONE, "client_gone"
        except asyncio.CancelledError:  # the time to end is over
            scope[CODE], exchange.has_body = "stopping", False  # what is left of it is not waited for
            if not exchange.has_begun:
                await send_error(ApiError(503, scope[CODE], "the server is stopping"), exchange.send)
        except Exception as error:  # FastAPI has answered before it raises
            if not exchange.has_begun:
                log.exception("a request failed")
                await send_error(failure_of(error), exchange.send)
        finally:
            path = scope["path"]
            known = path if path in PATHS else "/page" if path.startswith("/page/") else "other"
            metrics = self._service.metrics
            metrics.count_request(known, exchange.status, time.perf_counter() - started_s)
            if CODE in scope:
                metrics.count_rejected(scope[CODE])

    def _check(self, scope: Scope) -> None:
        service = self._service
        if not scope["path"].startswith(GUARDED):
            return
        if service.settings.tokens and not is_authorised(scope["headers"], service.settings.tokens):
            message = "send a valid token: Authorization: Bearer TOKEN"
            raise ApiError(401, "token", message, {"WWW-Authenticate": "Bearer"})
        if service.state == STARTING:
            raise ApiError(503, "not_ready", "the server is starting", {"Retry-After": "1"})


@lru_cache(64)
def wants_of(query: bytes) -> Wants | None:
    """What a query of /v1/read asks for; None if FastAPI must look at it, because it is not of the plain kind.

    Reading one image is what a server does most: FastAPI's routing and checks would take half of the event loop's time.
    """
    wants = Wants()
    for part in query.split(b"&") if query else ():
        name, _, value = part.partition(b"=")
        if name == b"letters" and value in (b"true", b"false"):
            wants = replace(wants, letters=value == b"true")
        elif name == b"alternatives" and value.isdigit() and len(value) < 3 and int(value) <= MOST_ALTERNATIVES:
            wants = replace(wants, alternatives=int(value))
        else:
            return None
    return wants


class Exchange:
    """One request and its response, watched on the way through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, service: Service) -> None:
        self.status = 500  # if the application fails before it answers
        self.has_begun = False
        self._scope = scope
        self._receive = receive
        self._send = send
        self._service = service
        self.has_body = has_body(scope["headers"])
        self._lingers = False

    async def receive(self) -> Message:
        """As in ASGI. ApiError if the rest of the body will not arrive."""
        message = await self._receive()
        if BROKEN in self._scope:
            self.has_body = False  # nothing is left to wait for
            if self.has_begun:
                return {"type": "http.disconnect"}
            raise self._scope[BROKEN]
        if message["type"] != "http.request" or not message.get("more_body"):
            self.has_body = False
        return message

    async def send(self, message: Message) -> None:
        """As in ASGI. If there is a body that was not read, the connection ends with this response."""
        if message["type"] == "http.response.start":
            self.status, self.has_begun = message["status"], True
            headers = [*message.get("headers", ()), *ALWAYS]
            self._lingers = self.has_body
            if self._lingers or BROKEN in self._scope or self._service.state == STOPPING:
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        elif self._lingers and not message.get("more_body"):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _linger(self) -> None:
        """Let the client read the response before the connection ends: closed at once, it would be reset."""
        dropped = 0
        try:
            async with asyncio.timeout(LINGER_S):
                while self.has_body and dropped <= self._service.settings.max_request_bytes:
                    dropped += len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass


def has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request announces a body. headers: their names in lower case."""
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False


async def send_error(error: ApiError, send: Send) -> None:
    """A refusal, as ASGI sends it."""
    headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    await send_json(error.status, error.content, headers, send)


async def send_json(status: int, content: bytes, headers: Iterable[tuple[bytes, bytes]], send: Send) -> None:
    """A response."""
    length = str(len(content)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
