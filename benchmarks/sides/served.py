"""An export behind HTTP, loaded from a second process, and its memory over thousands of requests."""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from sides.reading import BATCH, Word

LOAD = Path(__file__).with_name("http_load.py")
ROUNDS = 8  # of 64 images, one by one and together
WIDEST_PX = 600
READY_S = 60


@contextmanager
def serving(export: Path, *options: str) -> Iterator[tuple[str, psutil.Process]]:
    """Address and process of a server on a port of its own."""
    command = [sys.executable, "-m", "horovod_ocr", "serve", str(export), "--port", "0", "--no-page", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        if not address:
            raise SystemExit(f"the server did not start: {line}")
        yield address[0], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(READY_S)


def load(address: str, folder: Path, connections: int, seconds: float, requests: int = 10**9) -> dict:
    """What a second process saw: requests, errors, p50_ms, p99_ms."""
    command = [sys.executable, LOAD, f"{address}/v1/read", folder, "--connections", str(connections)]
    command += ["--seconds", str(seconds), "--requests", str(requests)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(said.stdout)


def post(address: str, path: str, kind: str, content: bytes) -> dict:
    request = urllib.request.Request(f"{address}{path}", content, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def time_batches(address: str, words: list[Word], folder: Path) -> dict[str, float]:
    """Images a second of requests with one image each on one connection, and of requests with a zip of 64."""
    zips = []
    for first in range(0, len(words) - BATCH + 1, BATCH):
        content = BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for number, word in enumerate(words[first : first + BATCH]):
                archive.writestr(f"{number}.png", word.image)
        zips.append(content.getvalue())
    single, together = [], []
    for number in range(ROUNDS):
        single.append(load(address, folder, 1, 60, BATCH)["images_per_s"])
        began = time.perf_counter()
        answer = post(address, "/v1/read/batch", "application/zip", zips[number % len(zips)])
        together.append(BATCH / (time.perf_counter() - began))
        assert len(answer["items"]) == BATCH and all("reading" in each for each in answer["items"])
    return {"one_by_one_per_s": float(np.median(single)), "batch_per_s": float(np.median(together))}


def measure_server(export: Path, words: list[Word], seconds: float) -> dict:
    """Latency alone and under 64 connections; throughput of batches; on all cores that the machine has."""
    with tempfile.TemporaryDirectory() as name, serving(export) as (address, process):
        folder = Path(name)
        for number, word in enumerate(words):
            (folder / f"{number:05d}.png").write_bytes(word.image)
        load(address, folder, 1, 2)
        alone = load(address, folder, 1, max(2.0, seconds / 6))
        loaded = load(address, folder, 64, seconds)
        alone_again = load(address, folder, 1, max(2.0, seconds / 6))
        batches = time_batches(address, words, folder)
        rss_mb = process.memory_info().rss / 1e6
    single_ms = (alone["p50_ms"] + alone_again["p50_ms"]) / 2
    return {
        "single_p50_ms": single_ms,
        "connections_64": loaded,
        "p99_by_single": loaded["p99_ms"] / single_ms,
        "rss_mb": round(rss_mb, 1),
        **batches,
        "batch_by_single": batches["batch_per_s"] / batches["one_by_one_per_s"],
    }


def measure_memory(export: Path, height_px: int, requests: int) -> dict[str, float]:
    """Resident memory of the server after so many requests of random widths, and its growth per 1,000 of the last
    four fifths of them, in MB."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name, serving(export) as (address, process):
        folder = Path(name)
        for number in range(400):
            width = int(rng.integers(8, WIDEST_PX))
            levels = rng.integers(0, 256, (height_px, width)).astype(np.uint8)
            Image.fromarray(levels).save(folder / f"{number:04d}.png")
        each = max(1, requests // 5 // 8)
        seen = []
        for _ in range(5):
            answered = load(address, folder, 8, 300, each)
            if answered["errors"]:
                raise SystemExit(f"the server answered with errors: {answered}")
            seen.append(process.memory_info().rss / 1e6)
    growth = (seen[-1] - seen[0]) / (4 * 8 * each / 1000)
    return {"rss_mb": round(seen[-1], 1), "growth_mb_per_1000": round(growth, 3), "requests": 5 * 8 * each}
