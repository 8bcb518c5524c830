"""Loads an image server with requests: `python benchmarks/sides/http_load.py URL FOLDER --connections 64 --seconds 10`.

Prints one JSON line: requests, errors (an answer that is not 200, or none), p50_ms, p99_ms, images_per_s. Each
connection is kept alive and sends its next request when it has the answer to the last one. Only to this machine.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SUFFIXES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
MOST_SECONDS, MOST_CONNECTIONS = 600, 1024


def read_requests(url: str, folder: Path, token: str | None) -> list[bytes]:
    """A whole request for each image of a folder."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    requests = []
    for path in sorted(folder.rglob("*")):
        if kind := SUFFIXES.get(path.suffix.lower()):
            content = path.read_bytes()
            head = f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {kind}\r\n"
            head += f"Authorization: Bearer {token}\r\n" if token else ""
            requests.append(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    return requests


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one response."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
    return int(head[9:12]), await reader.readexactly(length)


async def send_on(address: tuple[str, int], requests: Iterator[bytes], until_s: float, most: int) -> list[tuple]:
    """(seconds, status) of each request on one connection; status 0: the connection ended without an answer."""
    found: list[tuple] = []
    reader, writer = await asyncio.open_connection(*address)
    try:
        while time.perf_counter() < until_s and len(found) < most:
            began_s = time.perf_counter()
            writer.write(next(requests))
            try:
                status, _ = await read_answer(reader)
            except (OSError, asyncio.IncompleteReadError):
                found.append((time.perf_counter() - began_s, 0))
                break
            found.append((time.perf_counter() - began_s, status))
    finally:
        writer.close()
    return found


async def load(url: str, requests: list[bytes], connections: int, seconds: float, most: int) -> dict:
    """What came of it."""
    parts = urlsplit(url)
    shared = cycle(requests)
    began_s = time.perf_counter()
    sending = [send_on((parts.hostname, parts.port or 80), shared, began_s + seconds, most) for _ in range(connections)]
    answers = [answer for some in await asyncio.gather(*sending) for answer in some]
    took_s = time.perf_counter() - began_s
    times_ms = sorted(1000 * each for each, _ in answers)
    return {
        "connections": connections,
        "seconds": round(took_s, 2),
        "requests": len(answers),
        "errors": sum(status != 200 for _, status in answers),
        "statuses": dict(Counter(status for _, status in answers)),
        "p50_ms": round(statistics.median(times_ms), 3),
        "p99_ms": round(times_ms[int(len(times_ms) * 0.99)], 3),
        "images_per_s": round(len(answers) / took_s, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", help="http://127.0.0.1:8000/v1/read")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--requests", type=int, default=10**9, help="at most so many on each connection")
    parser.add_argument("--token")
    chosen = parser.parse_args()
    if urlsplit(chosen.url).hostname not in LOOPBACK:
        parser.error(f"{chosen.url}: only servers of this machine (127.0.0.1) are loaded")
    if not 1 <= chosen.connections <= MOST_CONNECTIONS or not 0 < chosen.seconds <= MOST_SECONDS:
        parser.error(f"at most {MOST_CONNECTIONS} connections, for at most {MOST_SECONDS} s")
    requests = read_requests(chosen.url, chosen.folder, chosen.token)
    if not requests:
        parser.error(f"{chosen.folder}: holds no images")
    print(json.dumps(asyncio.run(load(chosen.url, requests, chosen.connections, chosen.seconds, chosen.requests))))


if __name__ == "__main__":
    main()
