"""The routes. Each takes a request apart as far as its headers; the rest is the service's."""

import asyncio
import logging
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.routing import Match

from horovod_ocr import __version__
from horovod_ocr.serve import openapi
from horovod_ocr.serve.batcher import Wants
from horovod_ocr.serve.docs_page import DOCS_POLICY, docs_page
from horovod_ocr.serve.failures import CODE, ApiError, as_json, failure_of
from horovod_ocr.serve.metrics import CONTENT_TYPE
from horovod_ocr.serve.page_files import PageFile, page_files
from horovod_ocr.serve.reading import MOST_ALTERNATIVES
from horovod_ocr.serve.service import READY, Service
from horovod_ocr.tasks.readers import WordReader

log = logging.getLogger(__name__)
JSON = "application/json"
Letters = Annotated[bool, Query(description="tell where each letter is")]
Alternatives = Annotated[int, Query(ge=0, le=MOST_ALTERNATIVES, description="how many other readings to tell")]
READ_REFUSALS = openapi.refusals(400, 401, 408, 413, 415, 422, 429, 431, 503)


def build_app(service: Service) -> FastAPI:
    """All routes of one process. The service must be made in the same event loop."""
    app = FastAPI(
        title="horovod-ocr serve",
        version=__version__,
        description="Reads images of words with an exported model. Errors are JSON: a code and one sentence.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    add_reading(app, service)
    add_watching(app, service)
    add_documents(app)
    if service.settings.page:
        add_page(app, page_files())
    app.add_exception_handler(ApiError, _answer_api_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_wrong_parameter)
    app.add_exception_handler(Exception, _answer_fault)
    return app


def add_reading(app: FastAPI, service: Service) -> None:
    """What reads images, and what is known of the model."""
    reader = service.recognizer.reader
    read = openapi.answer("what was read", openapi.reading_schema(reader))
    several = openapi.answer("a reading or an error for each file", openapi.batch_schema(reader))
    model = as_json(describe_model(service))

    @app.post("/v1/read", responses={200: read, **READ_REFUSALS}, openapi_extra=openapi.image_body())
    async def read_image(request: Request, letters: Letters = True, alternatives: Alternatives = 0) -> Response:
        """Read one image."""
        wants = Wants(letters, alternatives)
        return Response(await service.read_one(request.scope["headers"], request.receive, wants), media_type=JSON)

    @app.post("/v1/read/batch", responses={200: several, **READ_REFUSALS}, openapi_extra=openapi.images_body())
    async def read_images(request: Request, letters: Letters = True, alternatives: Alternatives = 0) -> Response:
        """Read several images. One that cannot be read does not fail the others."""
        wants = Wants(letters, alternatives)
        return Response(await service.read_batch(request.scope["headers"], request.receive, wants), media_type=JSON)

    @app.get(
        "/v1/model",
        responses={200: openapi.answer("the model", openapi.model_schema()), **openapi.refusals(401, 503)},
    )
    async def tell_model() -> Response:
        """What is known of the model."""
        return Response(model, media_type=JSON)


def describe_model(service: Service) -> dict[str, Any]:
    """The answer of GET /v1/model."""
    recognizer = service.recognizer
    about, reader = recognizer.about, recognizer.reader
    known: dict[str, Any] = {"name": str(about.get("name", "")), "kind": reader.kind}
    known["geometry"] = recognizer.geometry.to_dict()  # the page shows what the model saw
    if isinstance(reader, WordReader):
        known |= {"direction": reader.charset.profile.direction, "letters": list(reader.charset.letters)}
    else:
        known["classes"] = list(about["task"]["classes"])
    return {**known, "precision": service.precision, "scores": about.get("scores", {})}


def add_watching(app: FastAPI, service: Service) -> None:
    """For what watches the server."""
    state = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
    alive = openapi.answer("the process answers", state)
    ready = openapi.answer("the model is loaded and has read an image", state)
    numbers = openapi.answer("counters and gauges", {"type": "string"}, "text/plain")

    @app.head("/healthz", response_class=Response, responses={200: {"description": "the process answers"}})
    @app.get("/healthz", responses={200: alive})
    async def tell_health() -> Response:
        """Is the process alive?"""
        return Response(b'{"status":"alive"}', media_type=JSON)

    @app.head(
        "/readyz", response_class=Response, responses={200: {"description": "ready"}, 503: {"description": "not"}}
    )
    @app.get("/readyz", responses={200: ready, **openapi.refusals(503)})
    async def tell_ready() -> Response:
        """Can images be sent? Not while the server starts or stops."""
        if service.state != READY:
            raise ApiError(503, "not_ready", f"the server is {service.state}")
        return Response(b'{"status":"ready"}', media_type=JSON)

    @app.get("/metrics", responses={200: numbers, **openapi.refusals(401)})
    async def tell_metrics() -> Response:
        """Counters and gauges of all processes, for Prometheus."""
        service.metrics.observe(service.batcher.waiting)
        return Response(await asyncio.to_thread(service.metrics.text), headers={"content-type": CONTENT_TYPE})


def add_documents(app: FastAPI) -> None:
    """What describes the API."""

    @app.get("/openapi.json", include_in_schema=False)
    async def tell_openapi() -> Response:
        return Response(as_json(app.openapi()), media_type=JSON)

    @app.get("/docs", include_in_schema=False)
    async def tell_docs() -> Response:
        return HTMLResponse(docs_page(app.openapi()), headers={"Content-Security-Policy": DOCS_POLICY})


def add_page(app: FastAPI, files: dict[str, PageFile]) -> None:
    """The page for browsers."""

    def answer(request: Request, name: str) -> Response:
        file = files.get(name)
        if file is None:
            raise ApiError(404, "not_found", f"the page has no file {name!r}" if files else "this server has no page")
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=file.headers)
        return Response(file.content, headers={**file.headers, "Content-Type": file.media_type})

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def tell_index(request: Request) -> Response:
        return answer(request, "index.html")

    @app.get("/page/{name}", include_in_schema=False)
    async def tell_file(request: Request, name: str) -> Response:
        return answer(request, name)


def answer_of(request: Request, error: ApiError) -> Response:
    """A refusal as a response."""
    request.scope[CODE] = error.code
    return Response(error.content, error.status, error.headers, JSON)


async def _answer_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return answer_of(request, error)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """Of the router: no such path, or not this method."""
    assert isinstance(error, HTTPException)
    path, method = request.scope["path"], request.method
    said = {404: ("not_found", f"there is no {path!r}"), 405: ("method", f"{path!r} does not take {method}")}
    code, message = said.get(error.status_code, ("http", str(error.detail)))
    headers = dict(error.headers or {})
    if error.status_code == 405:  # the router names the methods of one route, and a path may have several
        routes = [route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE]
        headers["Allow"] = ", ".join(sorted(method for route in routes for method in route.methods))
    return answer_of(request, ApiError(error.status_code, code, message, headers))


async def _answer_wrong_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return answer_of(request, ApiError(422, "parameter", f"{first['loc'][-1]}: {first['msg']}"))


async def _answer_fault(request: Request, error: Exception) -> Response:
    """Whoever runs the server finds the traceback in its log."""
    log.error("a request failed", exc_info=error)
    return answer_of(request, failure_of(error))
