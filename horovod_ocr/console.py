"""Standard error, for progress and remarks; results go to standard output."""

import os
from typing import TextIO

from rich.console import Console

console = Console(stderr=True, soft_wrap=True)

# What ranks write to standard error, and by what the supervisor of their job knows it.
SENTENCE = "horovod-ocr: "  # begins a message for people
STALLED = "stalled: "  # begins the last line of a rank that made no progress
STOPPED_BY_ANOTHER = "stopped because another rank ended"  # in the message of a rank that did not fail itself


def silence(stream: TextIO) -> None:
    """Discard what is written to a stream from now on: its terminal, pipe or disk takes no more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def span(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size_text(count: float) -> str:
    """Bytes as "1.23 GB" or "45.6 MB"."""
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
