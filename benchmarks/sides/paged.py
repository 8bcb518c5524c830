"""The page without a server, in headless Chromium: how long a word takes, and how large the page is."""

import os
import re
import shutil
import statistics
import tempfile
from importlib.util import find_spec
from pathlib import Path

from sides.reading import Word

from horovod_ocr.errors import OcrError
from horovod_ocr.recognizer.package import read_package
from horovod_ocr.serve.standalone import find_runtime, make_page

WORDS = 100
PATIENCE_MS = 60_000


def chromium_path() -> str | None:
    named = os.environ.get("HOROVOD_OCR_CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def why_no_page() -> str | None:
    """What is missing to measure it; None if nothing is."""
    if not chromium_path():
        return "there is no chromium"
    if not find_spec("playwright"):
        return "playwright is not installed"
    try:
        find_runtime()
    except OcrError as error:
        return str(error)
    return None


def measure_page(export: Path, words: list[Word]) -> dict[str, float]:
    """Milliseconds a word from its pixels to its reading, as the page itself shows them, and sizes in MB. The page is
    opened as a file."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name, sync_playwright() as started:
        folder = Path(name)
        made = make_page(read_package(export, "auto"), folder / "page", find_runtime())
        paths = []
        for number, word in enumerate(words[:WORDS]):
            paths.append(folder / f"{number:03d}.png")
            paths[-1].write_bytes(word.image)
        browser = started.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        try:
            page = browser.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto((made.folder / "index.html").as_uri())
            page.wait_for_selector("html[data-ready]")
            page.set_input_files("#files", [str(path) for path in paths])
            page.locator("#progress-text", has_text=f"{len(paths)} of {len(paths)} read").wait_for()
            taken = []
            for number in range(len(paths)):
                page.locator(".item").nth(number).locator("button").first.click()
                said = page.locator("#detail").inner_text()
                taken.append(float(re.search(r"([\d.]+) ms", said)[1]))
        finally:
            browser.close()
    return {
        "word_ms": statistics.median(taken),
        "slowest_ms": max(taken),
        "folder_mb": round(made.total_bytes / 1e6, 2),
        "model_mb": round(made.model_bytes / 1e6, 3),
    }
