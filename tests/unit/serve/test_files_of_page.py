"""How the server gives the page's files to browsers."""

import pytest

from horovod_ocr.serve import app as app_module
from horovod_ocr.serve.page_files import PAGE_POLICY, PageFile, page_files

FILES = {
    "index.html": PageFile(b"<!doctype html><title>x</title>", "text/html; charset=utf-8", '"1"'),
    "page.js": PageFile(b"'use strict'", "text/javascript; charset=utf-8", '"2"'),
}


@pytest.fixture
def server(run_server, package, monkeypatch):
    monkeypatch.setattr(app_module, "page_files", lambda: FILES)
    return run_server(package, max_files=99)  # of its own


def test_files_have_type_policy_and_etag(server):
    for path, name in (("/", "index.html"), ("/page/page.js", "page.js")):
        answer = server.client.get(path)
        assert answer.content == FILES[name].content and answer.headers["content-type"] == FILES[name].media_type
        assert answer.headers["content-security-policy"] == PAGE_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-cache"
        same = server.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        other = server.client.get(path, headers={"If-None-Match": '"other"'})
        assert other.status_code == 200


@pytest.mark.parametrize("name", ["none.js", "..", "../app.py", "%2e%2e%2fapp.py", "..%2Fapp.py", "%00", "page.js/"])
def test_nothing_else_can_be_had(server, name):
    with server.connect() as connection:  # a client library would shorten the path
        connection.sendall(f"GET /page/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = connection.makefile("rb").read()
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")) and b'{"error":' in answer


def test_the_packaged_files_are_found_with_their_types():
    files = page_files()
    types = {name[name.rfind(".") :]: file.media_type for name, file in files.items()}
    assert types[".html"].startswith("text/html") and types[".js"].startswith("text/javascript")
    assert all(file.content for file in files.values()) and len({file.etag for file in files.values()}) == len(files)
