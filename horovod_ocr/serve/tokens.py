"""Bearer tokens: their file, and whether a request has one of them."""

import hmac
import stat
from pathlib import Path

from horovod_ocr.errors import ConfigError

FEWEST_CHARACTERS = 16  # shorter ones can be guessed


def read_tokens(path: Path) -> tuple[bytes, ...]:
    """One token a line; blank lines and lines that begin with # are left out. ConfigError if there is none."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--token-file {path}: cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from error
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens:
        raise ConfigError(f"--token-file {path}: holds no token; write one a line")
    for token in tokens:
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError(f"--token-file {path}: a token is made of visible ASCII characters, without spaces")
        if len(token) < FEWEST_CHARACTERS:
            raise ConfigError(f"--token-file {path}: a token has at least {FEWEST_CHARACTERS} characters")
    return tuple(token.encode() for token in tokens)


def is_readable_by_others(path: Path) -> bool:
    """Whether other users of this machine can read the file."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def is_authorised(headers: list[tuple[bytes, bytes]], tokens: tuple[bytes, ...]) -> bool:
    """Whether one of the tokens was sent; it takes the same time whichever it is. headers: with names in lower case."""
    given = next((value for name, value in headers if name == b"authorization"), b"")
    scheme, _, token = given.partition(b" ")
    token = token.strip()
    same = [hmac.compare_digest(token, each) for each in tokens]  # all of them: no early end
    return scheme.lower() == b"bearer" and any(same)
