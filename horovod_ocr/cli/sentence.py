"""An error that a person can repair is one sentence and an exit code, in every command."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from horovod_ocr.console import SENTENCE, console, silence
from horovod_ocr.distributed.launcher import rank_of_process
from horovod_ocr.errors import ConfigError, OcrError, exit_code_of

# the extra that brings a package which only some commands import
EXTRA_OF = {
    **dict.fromkeys(("torch", "webdataset", "rapidfuzz", "tensorboard", "matplotlib", "onnx", "onnxscript"), "train"),
    **dict.fromkeys(("onnxruntime", "fastapi", "starlette", "uvicorn", "uvloop", "httptools"), "serve"),
    **dict.fromkeys(("python_multipart", "prometheus_client"), "serve"),
}

_shows_tracebacks = False


def show_tracebacks(wanted: bool) -> None:
    """Let errors through as they are (`--debug`)."""
    global _shows_tracebacks
    _shows_tracebacks = wanted


@contextmanager
def one_sentence() -> Iterator[None]:
    """An error that a person can repair is one sentence and an exit code."""
    try:
        yield
        flush_output()
    except OcrError as error:
        if _shows_tracebacks:
            raise
        # an error that all ranks share is one of ranks that know their numbers; another may be about the number itself
        if error.shown_by is None or error.shown_by == (rank_of_process() or 0):
            say(str(error))
        raise typer.Exit(exit_code_of(error)) from error
    except BrokenPipeError as error:
        silence(sys.stdout)
        raise typer.Exit(exit_code_of(error)) from error
    except OSError as error:
        if _shows_tracebacks:
            raise
        where = f"{error.filename}: " if error.filename else ""
        say(f"{where}{error.strerror or error}")
        try:
            flush_output()
        except OSError:  # the interpreter would try again at its end, and fail with a code of its own
            silence(sys.stdout)
        raise typer.Exit(exit_code_of(error)) from error
    except ModuleNotFoundError as error:
        extra = EXTRA_OF.get((error.name or "").split(".")[0])
        if _shows_tracebacks or extra is None:
            raise
        say(f"this needs the package {error.name}, which is not installed: pip install 'horovod-ocr[{extra}]'")
        raise typer.Exit(ConfigError.exit_code) from error
    except KeyboardInterrupt as error:
        say("interrupted")
        raise typer.Exit(exit_code_of(error)) from error


def flush_output() -> None:
    """Write what was printed: at the interpreter's end an error would not be one sentence."""
    if sys.stdout and not sys.stdout.closed:
        sys.stdout.flush()


def say(sentence: str) -> None:
    """In one write, its line end with it: mpirun marks each write as a line."""
    print(f"{SENTENCE}{sentence}\n", end="", file=sys.stderr, flush=True)


def tell(sentence: str) -> None:
    """A remark while a command runs."""
    console.print(sentence, markup=False, highlight=False)


def print_done(values: dict[str, Any]) -> None:
    """The last of the JSON lines: {"event": "done", ...}; folders as texts."""
    print(json.dumps({"event": "done", **values}, ensure_ascii=False, default=str), flush=True)
