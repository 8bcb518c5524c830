"""The page for browsers: files of the folder page/ beside this module, as they are."""

import hashlib
import importlib.resources
import mimetypes
from dataclasses import dataclass

PAGE_POLICY = (
    "default-src 'self' data: blob:; script-src 'self'; style-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
}


@dataclass(frozen=True)
class PageFile:
    """One file."""

    content: bytes
    """Its bytes."""
    media_type: str
    """For Content-Type."""
    etag: str
    """Changes with its bytes."""

    @property
    def headers(self) -> dict[str, str]:
        """Of a response with it, or of one that says that it has not changed."""
        return {"ETag": self.etag, "Cache-Control": "no-cache", "Content-Security-Policy": PAGE_POLICY}


def page_files() -> dict[str, PageFile]:
    """Every file by its plain name; empty if the package has no page."""
    folder = importlib.resources.files("horovod_ocr.serve") / "page"
    if not folder.is_dir():
        return {}
    files = {}
    for each in folder.iterdir():
        if each.is_file() and not each.name.startswith((".", "__")):
            content = each.read_bytes()
            suffix = each.name[each.name.rfind(".") :]
            kind = TYPES.get(suffix) or mimetypes.guess_type(each.name)[0] or "application/octet-stream"
            files[each.name] = PageFile(content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return files
