"""horovod-ocr serve"""

import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from horovod_ocr.cli.options import PRECISIONS, ExportGiven, Precision, check_choice, export_given
from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.console import SENTENCE
from horovod_ocr.errors import ConfigError
from horovod_ocr.serve.settings import ServeSettings
from sharding.options import MOST_PIXELS

DEFAULTS = ServeSettings()
BACKLOG = 2048
LOOPBACK = ("127.0.0.1", "localhost", "::1")


Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen at; 0.0.0.0 for all of this machine.")]
Port = Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 takes a free one and prints it.")]
Workers = Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Processes.")]
MaxBatch = Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Images of one run of the model.")]
MaxWait = Annotated[
    float, typer.Option(min=0, max=1000, metavar="MS", help="How long an image waits for others of its width.")
]
Queue = Annotated[
    int, typer.Option(min=1, max=100_000, metavar="N", help="Images that may wait; more are refused with 429.")
]
MaxBytes = Annotated[int, typer.Option(min=1, metavar="BYTES", help="Of one image.")]
MaxPixels = Annotated[int, typer.Option(min=1, max=MOST_PIXELS, metavar="PX", help="Of one image, width times height.")]
MaxFiles = Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="Images of one batch request.")]
MaxRequestBytes = Annotated[
    int, typer.Option(min=1, metavar="BYTES", help="Of one batch request, and of what its zips inflate to.")
]
MaxConnections = Annotated[int, typer.Option(min=1, metavar="N", help="Open at once, of each process.")]
TokenFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Ask for a bearer token: one of the lines of this file.")
]
ShutdownTimeout = Annotated[
    float, typer.Option(min=1, max=86_400, metavar="S", help="To answer what was accepted, after SIGTERM.")
]
NoPage = Annotated[bool, typer.Option("--no-page", help="Serve the API alone, without the page.")]


def serve(
    model: ExportGiven = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Workers = 1,
    precision: Precision = "auto",
    max_batch: MaxBatch = DEFAULTS.max_batch,
    max_wait_ms: MaxWait = DEFAULTS.max_wait_ms,
    queue: Queue = DEFAULTS.queue,
    max_bytes: MaxBytes = DEFAULTS.max_bytes,
    max_pixels: MaxPixels = DEFAULTS.max_pixels,
    max_files: MaxFiles = DEFAULTS.max_files,
    max_request_bytes: MaxRequestBytes = DEFAULTS.max_request_bytes,
    max_connections: MaxConnections = DEFAULTS.max_connections,
    token_file: TokenFile = None,
    shutdown_timeout_s: ShutdownTimeout = DEFAULTS.shutdown_timeout_s,
    no_page: NoPage = False,
) -> None:
    """Serve an exported model over HTTP: an API for programs, and a page for people."""
    with one_sentence():
        check_choice("--precision", precision, PRECISIONS)
        path = export_given(model)
        settings = ServeSettings(
            max_batch=max_batch,
            max_wait_ms=max_wait_ms,
            threads=max(1, len(os.sched_getaffinity(0)) // workers),
            queue=queue,
            max_bytes=max_bytes,
            max_pixels=max_pixels,
            max_files=max_files,
            max_request_bytes=max_request_bytes,
            max_connections=max_connections,
            shutdown_timeout_s=shutdown_timeout_s,
            tokens=tokens_of(token_file),
            page=not no_page,
        )
        allow_files(max_connections)
        with listener_at(host, port) as listener:
            if not settings.tokens and host not in LOOPBACK:
                warning = f"warning: whoever reaches {host} can use this server; see --token-file"
                print(f"{SENTENCE}{warning}", file=sys.stderr)
            if not serve_with(listener, path, precision, settings, workers):
                raise typer.Exit(1)


def serve_with(listener: socket.socket, path: Path, precision: str, settings: ServeSettings, workers: int) -> bool:
    """Serve until a signal. Returns whether everything that was accepted has been answered."""

    def say_ready() -> None:
        print(f"horovod-ocr serves {path} at {address_of(listener)}", flush=True)

    try:
        import fastapi  # noqa: F401
        import httptools  # noqa: F401
        import onnxruntime  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
        import uvloop  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed; run: pip install 'horovod-ocr[serve]'") from error
    from horovod_ocr.recognizer.package import read_package

    package = read_package(path, precision)
    if workers > 1:
        from horovod_ocr.serve.workers import Supervisor

        return Supervisor(listener, package, settings, workers).run(say_ready)
    from horovod_ocr.serve.server import serve as serve_alone

    return serve_alone(listener, package, settings, lambda _: say_ready())


def tokens_of(file: Path | None) -> tuple[bytes, ...]:
    """Those of --token-file. If others can read it, standard error says so."""
    from horovod_ocr.serve.tokens import is_readable_by_others, read_tokens

    if file is None:
        return ()
    tokens = read_tokens(file)
    if is_readable_by_others(file):
        print(f"{SENTENCE}warning: others can read {file}; run: chmod 600 {file}", file=sys.stderr)
    return tokens


def listener_at(host: str, port: int) -> socket.socket:
    """A socket that listens. ConfigError if the address is not free, or is none."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # the address is in the sentence already
        raise ConfigError(f"--host {host} --port {port}: {reason}; choose another") from error
    except UnicodeError as error:  # a label of it is empty, or longer than 63 characters
        raise ConfigError(f"--host {host}: not a name of a host, nor an address; choose another") from error


def address_of(listener: socket.socket) -> str:
    """As a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def allow_files(connections: int) -> None:
    """Raise the number of files that this process may open, if connections need more."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + 256
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
