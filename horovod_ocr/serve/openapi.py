"""What the API takes and answers, as JSON Schema, for the parts that FastAPI cannot see in the code."""

from typing import Any

from horovod_ocr.tasks.readers import Reader, WordReader

FILE = {"type": "string", "format": "binary"}  # an empty one of several is an error of its own
BINARY = {**FILE, "minLength": 1}
FRACTION = {"type": "number", "minimum": 0, "maximum": 1}
PIXELS = {"type": "integer", "minimum": 1}
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/tiff", "application/octet-stream")
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "stable, for programs"},
                "message": {"type": "string", "description": "one sentence, for people"},
            },
        }
    },
}
REFUSALS = {
    400: "the request is not what its headers say, or is empty",
    401: "no valid bearer token was sent; only if the server asks for one",
    408: "the body did not arrive in time",
    413: "more bytes, pixels or files than are allowed",
    415: "not an image, or a Content-Type that is not taken",
    422: "an image that cannot be read, or a parameter that is not allowed",
    429: "as many images are waiting as may wait",
    431: "the headers are too long",
    503: "the server is starting or stopping",
}
HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer"}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds, by the speed of the last images"}},
}
Responses = dict[int | str, dict[str, Any]]


def answer(description: str, schema: dict[str, Any], media_type: str = "application/json") -> dict[str, Any]:
    """One response."""
    return {"description": description, "content": {media_type: {"schema": schema}}}


def refusals(*statuses: int) -> Responses:
    """Responses with an error."""
    found: Responses = {}
    for status in statuses:
        found[status] = answer(REFUSALS[status], ERROR)
        if status in HEADERS:
            found[status]["headers"] = HEADERS[status]
    return found


def reading_schema(reader: Reader) -> dict[str, Any]:
    """Of one image that was read."""
    if isinstance(reader, WordReader):
        known = {"text": {"type": "string"}, "confidence": FRACTION}
        box = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
        box["description"] = "left, top, right, bottom in pixels of the image, upright"
        letter = {"type": "object", "required": [*known, "box"], "properties": {**known, "box": box}}
        other = {"type": "object", "required": [*known], "properties": known}
        properties: dict[str, Any] = {
            **known,
            "letters": {"type": "array", "items": letter, "description": "in the order in which people read them"},
            "alternatives": {"type": "array", "items": other, "description": "the best first; only if asked for"},
        }
        required = [*known]
    else:
        probabilities = {"type": "object", "additionalProperties": FRACTION}
        properties = {"class": {"type": "string"}, "confidence": FRACTION, "probabilities": probabilities}
        required = [*properties]
    size = {"width": PIXELS, "height": PIXELS, "ms": {"type": "number", "description": "time in the server"}}
    return {"type": "object", "required": [*required, *size], "properties": {**properties, **size}}


def batch_schema(reader: Reader) -> dict[str, Any]:
    """Of several images."""
    name = {"type": "string", "description": "of the file"}
    read = {"name": name, "reading": reading_schema(reader)}
    status = {"type": "integer", "minimum": 400, "maximum": 599}
    error, code = ({"type": "string", "description": what} for what in ("one sentence", "of the error, for programs"))
    failed = {"name": name, "error": error, "code": code, "status": status}
    kinds = [{"type": "object", "required": [*each], "properties": each} for each in (read, failed)]
    items = {"type": "array", "items": {"oneOf": kinds}, "description": "in the order of the files"}
    return {"type": "object", "required": ["items"], "properties": {"items": items}}


def model_schema() -> dict[str, Any]:
    """Of GET /v1/model."""
    names = {"type": "array", "items": {"type": "string"}}
    return {
        "type": "object",
        "required": ["name", "kind", "precision", "scores"],
        "properties": {
            "name": {"type": "string"},
            "kind": {"type": "string", "enum": ["words", "classes"]},
            "direction": {"type": "string", "enum": ["rtl", "ltr", "visual"], "description": "of words"},
            "letters": {**names, "description": "of words: what the model can write"},
            "classes": {**names, "description": "of classes"},
            "geometry": {"type": "object", "description": "the height and the widths that images are brought to"},
            "precision": {"type": "string", "enum": ["fp32", "int8"]},
            "scores": {"type": "object", "description": "of the model on its test split"},
        },
    }


def image_body() -> dict[str, Any]:
    """The request body of POST /v1/read."""
    form = {"type": "object", "required": ["image"], "properties": {"image": BINARY}}
    content = {kind: {"schema": BINARY} for kind in IMAGE_TYPES} | {"multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


def images_body() -> dict[str, Any]:
    """The request body of POST /v1/read/batch."""
    images = {"type": "array", "items": FILE, "minItems": 1, "description": "images, and zips of images"}
    form = {"type": "object", "required": ["images"], "properties": {"images": images}}
    content = {"application/zip": {"schema": BINARY}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}
