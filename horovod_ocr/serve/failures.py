"""Everything that a request can be refused for: a status, a code for programs, and a sentence for people."""

import json
from collections.abc import Mapping
from typing import Any

from horovod_ocr.errors import SourceError
from sharding.reasons import Rejected

CODE = "horovod_ocr.code"
"""In the scope of a request: why it was refused, for the metrics."""
BROKEN = "horovod_ocr.broken"
"""In the scope of a request: the ApiError because of which the rest of its body will not arrive."""


class ApiError(Exception):
    """A request, or an item of a batch, that is not answered with a reading."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        """status: of HTTP. code: stable, for programs. message: one sentence. headers: more of the response."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    @property
    def content(self) -> bytes:
        """The body of the response."""
        return as_json({"error": {"code": self.code, "message": self.message}})


class ClientGoneError(Exception):
    """The client closed its connection before it was answered."""


class QueueFullError(Exception):
    """As many images are waiting as may wait."""


def as_json(values: Any) -> bytes:
    """UTF-8, without spaces."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def too_large(what: str, most_bytes: int, option: str) -> ApiError:
    """413. what: the beginning of the sentence. option: of the command, which raises the limit."""
    return ApiError(413, "too_large", f"{what} is larger than {most_bytes:,} bytes ({option})")


def busy(what: str, after_s: float) -> ApiError:
    """429. what: one sentence. after_s: when to try again."""
    return ApiError(429, "busy", what, {"Retry-After": str(max(1, min(60, int(after_s + 0.999))))})


def failure_of(error: BaseException) -> ApiError:
    """What a client is told about an image that could not be read."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, SourceError):
        reason = error.__cause__.reason if isinstance(error.__cause__, Rejected) else "damaged image"
        status, code = {
            "not an image": (415, "not_an_image"),
            "too many pixels": (413, "too_many_pixels"),
        }.get(reason, (422, reason.replace(" ", "_")))
        said = error.__cause__.explained if isinstance(error.__cause__, Rejected) else str(error)
        return ApiError(status, code, said)
    return ApiError(500, "internal", "the server failed; its log says why")
