"""What a server is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServeSettings:
    """Limits and speeds of one process. The defaults of `horovod-ocr serve` are these."""

    max_batch: int = 8
    """Images of one run of the model. More of them are hardly faster for each image, and the others wait longer."""
    max_wait_ms: float = 0.0
    """The longest that an image waits for others of its width while a core is idle."""
    threads: int = 1
    """Threads that decode and compute."""
    queue: int = 256
    """Images that are accepted and not answered yet."""
    max_bytes: int = 10_000_000
    """Of one image as a file."""
    max_pixels: int = 16_000_000
    """Of one image, width times height; to convert one takes up to 12 bytes for each."""
    max_files: int = 256
    """Images of one batch request."""
    max_request_bytes: int = 32_000_000
    """Of the body of a request, and of what a zip in it inflates to."""
    max_connections: int = 512
    """Open at once."""
    body_timeout_s: float = 30.0
    """For a request to arrive, its headers and its body each."""
    shutdown_timeout_s: float = 30.0
    """For what was accepted to be answered after SIGTERM."""
    tokens: tuple[bytes, ...] = ()
    """One of them must be sent as a bearer token; empty: none is asked for."""
    page: bool = True
    """Serve the page for browsers."""

    @property
    def max_held_bytes(self) -> int:
        """Bodies held at once by a process: enough for a few of the largest requests."""
        return 4 * self.max_request_bytes
