"""Headless Chromium for tests of the page, and what every page must keep to: no other host, no error in the console."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

PATIENCE_MS = 30_000
REFUSAL = "Failed to load resource: the server responded with a status of 4"  # the browser itself writes it
FAKES = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


def chromium_path() -> str | None:
    """Of this machine; HOROVOD_OCR_CHROMIUM names another one."""
    named = os.environ.get("HOROVOD_OCR_CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser, with a camera that shows a test picture. Skips the test without one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = chromium_path()
    if path is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=list(FAKES))
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page in a context of its own, and what went wrong in it."""

    def __init__(self, browser: Any, url: str, screenshots: Path, **context: Any) -> None:
        self.url, self.screenshots = url, screenshots
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self.context.route("**/*", self._let_pass)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("requestfailed", lambda request: self.errors.append(f"{request.url}: {request.failure}"))

    def _hear(self, said: Any) -> None:
        if said.type == "error" and not said.text.startswith(REFUSAL):
            self.errors.append(said.text)

    def _let_pass(self, route: Any) -> None:
        own, asked = urlsplit(self.url), urlsplit(route.request.url)
        if asked.scheme in ("blob", "data") or (asked.scheme, asked.netloc) == (own.scheme, own.netloc):
            route.continue_()
        else:
            self.foreign.append(route.request.url)
            route.abort()

    def open(self) -> "Visit":
        """Go there and wait for the model."""
        self.page.goto(self.url)
        self.page.wait_for_selector("html[data-ready]")
        return self

    def choose(self, *paths: Path) -> None:
        """Give it files, and wait until all are read."""
        before = self.page.locator(".item").count()
        self.page.set_input_files("#files", [str(path) for path in paths])
        self.wait_for(before + len(paths))

    def wait_for(self, count: int) -> None:
        """Until this many pictures are read."""
        self.page.locator("#progress-text", has_text=f"{count} of {count} read").wait_for()
        self.page.wait_for_timeout(50)  # the detail is drawn after the row

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def shoot(self, name: str) -> None:
        """A picture for people to look at."""
        self.screenshots.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.screenshots / f"{name}.png", full_page=True)

    def check(self) -> None:
        """Nothing was asked of other hosts, and nothing failed."""
        assert not self.foreign, self.foreign
        assert not self.errors, self.errors


def screenshots_folder(otherwise: Path) -> Path:
    """HOROVOD_OCR_SCREENSHOTS keeps them."""
    return Path(os.environ.get("HOROVOD_OCR_SCREENSHOTS") or otherwise)
