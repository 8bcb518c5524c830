"""The API over real connections: readings, batches, limits, tokens, errors."""

import json
import zipfile

import httpx
import numpy as np
import pytest

from horovod_ocr.recognizer import Recognizer
from tests.unit.recognizer.packages import random_word
from tests.unit.serve.pictures import PNG, answer_on, png_of, request, word, zip_of

SMALL = {"max_bytes": 3000, "max_pixels": 10_000, "max_files": 3, "max_request_bytes": 9000}
TOKENS = (b"a-token-of-sixteen-or-more", b"another-token-of-a-person")


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code; its sentence is one line."""
    error = answer.json()["error"]
    assert error["message"] and "\n" not in error["message"]
    return answer.status_code, error["code"]


def items_of(answer: httpx.Response) -> list[dict]:
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def outcomes(answer: httpx.Response) -> list[int | str]:
    """Of each item the text, or the status."""
    return [each["reading"]["text"] if "reading" in each else each["status"] for each in items_of(answer)]


# --- readings


def test_answers_as_the_recognizer_reads(server, package):
    recognizer = Recognizer.load(package)
    for seed in range(5):
        answer = server.client.post("/v1/read", content=word(seed), headers=PNG).json()
        (expected,) = recognizer.read(word(seed))
        assert answer["text"] == expected.text and abs(answer["confidence"] - expected.confidence) < 1e-4
        assert answer["letters"] == [letter.to_dict() for letter in expected.letters] != []
        assert (answer["width"], answer["height"]) == (60, 40) and answer["ms"] > 0
        assert "alternatives" not in answer


def test_a_form_gives_the_same_as_a_raw_body(server):
    raw = server.client.post("/v1/read", content=word(1), headers=PNG).json()
    form = server.client.post("/v1/read", files={"image": ("ا.png", word(1))}).json()
    assert {**raw, "ms": 0} == {**form, "ms": 0}


def test_letters_and_alternatives_only_if_wanted(server):
    answer = server.client.post("/v1/read?letters=false&alternatives=3", content=word(2), headers=PNG).json()
    assert "letters" not in answer and 0 < len(answer["alternatives"]) <= 3
    assert answer["text"] not in [other["text"] for other in answer["alternatives"]]


def test_classes_have_probabilities(run_server, class_package):
    server = run_server(class_package)
    picture = png_of(np.stack([random_word(1)] * 3, 2))
    answer = server.client.post("/v1/read?alternatives=2", content=picture, headers=PNG).json()
    assert answer.keys() == {"class", "confidence", "probabilities", "width", "height", "ms"}
    assert abs(sum(answer["probabilities"].values()) - 1) < 1e-3
    model = server.client.get("/v1/model").json()
    assert model["kind"] == "classes" and model["classes"] == ["cat", "dog", "emu"] and "letters" not in model


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_every_format_is_read(server, form):
    answer = server.client.post("/v1/read", content=png_of(random_word(1), form), headers={"Content-Type": "image/x"})
    assert answer.status_code == 200 and answer.json()["width"] == 60


def test_tells_the_model(server):
    model = server.client.get("/v1/model").json()
    assert model["name"] == "small" and model["kind"] == "words" and model["direction"] == "rtl"
    assert model["precision"] == "int8" and "ب" in model["letters"] and model["scores"]["split"] == "test"


# --- batches


def test_a_bad_item_fails_alone_and_order_is_kept(server):
    bad = {"cut.png": word(1)[:-200], "text.txt": b"not an image", "none.png": b""}
    files = [("images", (f"{seed}.png", word(seed))) for seed in range(40)]
    for place, (name, content) in enumerate(bad.items()):
        files.insert(7 * place, ("images", (name, content)))
    items = items_of(server.client.post("/v1/read/batch", files=files))
    assert [each["name"] for each in items] == [name for _, (name, _) in files]
    assert {each["name"]: each["status"] for each in items if "error" in each} == {
        "cut.png": 422,
        "text.txt": 415,
        "none.png": 422,
    }
    for each in items:
        if "reading" in each:
            alone = server.client.post("/v1/read", content=word(int(each["name"][:-4])), headers=PNG).json()
            assert each["reading"]["text"] == alone["text"]


def test_a_zip_as_the_body_and_as_a_file(server):
    files = {f"ورق/{seed}.png": word(seed) for seed in range(3)} | {"__MACOSX/._0.png": b"x", "ورق/.DS_Store": b"x"}
    zipped = zip_of(files)
    alone = items_of(server.client.post("/v1/read/batch", content=zipped, headers={"Content-Type": "application/zip"}))
    assert [each["name"] for each in alone] == ["ورق/0.png", "ورق/1.png", "ورق/2.png"]
    both = [("images", ("z.zip", zipped)), ("images", ("3.png", word(3)))]
    mixed = outcomes(server.client.post("/v1/read/batch", files=both))
    assert mixed[:3] == [each["reading"]["text"] for each in alone] and len(mixed) == 4


def test_zips_are_opened_with_care(run_server, package):
    server = run_server(package, **SMALL)

    def sent(content: bytes) -> httpx.Response:
        return server.client.post("/v1/read/batch", content=content, headers={"Content-Type": "application/zip"})

    assert outcomes(sent(zip_of({"in.zip": zip_of({"a.png": word(1)}), "a.png": word(1)})))[0] == 422
    assert outcomes(sent(zip_of({"zeros": bytes(3001)}))) == [413]
    assert outcomes(sent(zip_of({"a.png": word(1)}, zipfile.ZIP_BZIP2))) == [422]
    assert error_of(sent(zip_of({f"{n}": bytes(2900) for n in range(4)}))) == (413, "too_many_files")
    assert error_of(sent(zip_of({"bomb": bytes(10_000_000)}))) == (413, "too_large")
    assert error_of(sent(zip_of({f"{n}": b"" for n in range(5000)})[-9000:])) == (413, "too_many_files")
    assert error_of(sent(zip_of({"a.png": word(1)})[:-30])) == (400, "damaged_zip")
    assert error_of(sent(b"")) == (400, "empty")
    encrypted = bytearray(zip_of({"a.png": word(1)}))
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    assert outcomes(sent(bytes(encrypted))) == [422]
    wrong = bytearray(zip_of({"a.png": word(1)}, zipfile.ZIP_STORED))
    wrong[200] ^= 1
    assert outcomes(sent(bytes(wrong))) == [422]


def test_what_zips_inflate_to_is_counted_over_all_of_them_and_held(run_server, package):
    server = run_server(package, **SMALL)
    zeros = [("images", zip_of({"zeros": bytes(2900)})) for _ in range(2)]
    assert outcomes(server.client.post("/v1/read/batch", files=zeros)) == [415, 415]
    held = server.service.held
    held.take(server.service.settings.max_held_bytes - 3000)
    try:
        assert error_of(server.client.post("/v1/read/batch", files=zeros)) == (429, "busy")
    finally:
        held.give_back(server.service.settings.max_held_bytes - 3000)
    assert held._held == 0
    large = [("images", zip_of({f"{n}": bytes(4000), "x": b""})) for n in range(1)]
    large += [("images", zip_of({"y": bytes(8000)}))]
    assert error_of(server.client.post("/v1/read/batch", files=large)) == (413, "too_large")


def test_a_directory_that_lies_about_sizes_is_found_out(server):
    lying = bytearray(zip_of({"a.png": word(1) * 4}))
    place = lying.index(b"PK\x01\x02") + 24
    lying[place : place + 4] = (100).to_bytes(4, "little")
    answer = server.client.post("/v1/read/batch", content=bytes(lying), headers={"Content-Type": "application/zip"})
    assert outcomes(answer) == [422]


# --- limits


def test_limits_of_one_image(run_server, package):
    post = run_server(package, **SMALL).client.post
    assert error_of(post("/v1/read", content=bytes(3001), headers=PNG)) == (413, "too_large")
    assert error_of(post("/v1/read", files={"image": bytes(3001)})) == (413, "too_large")
    assert error_of(post("/v1/read", files={"image": bytes(9001)})) == (413, "too_large")
    large = png_of(np.full((101, 100), 255, np.uint8))
    assert error_of(post("/v1/read", content=large, headers=PNG)) == (413, "too_many_pixels")
    assert post("/v1/read", content=png_of(np.full((100, 100), 255, np.uint8)), headers=PNG).status_code == 200


def test_a_body_without_a_length_is_cut_at_the_limit(run_server, package):
    sent = 0

    def chunks():
        nonlocal sent
        while sent < 10_000_000:
            sent += 1000
            yield bytes(1000)

    answer = run_server(package, **SMALL).client.post("/v1/read", content=chunks(), headers=PNG)
    assert error_of(answer) == (413, "too_large") and answer.headers["connection"] == "close"


def test_limits_of_a_batch(run_server, package):
    post = run_server(package, **SMALL).client.post
    files = [("images", (f"{n}", b"x")) for n in range(4)]
    assert error_of(post("/v1/read/batch", files=files)) == (413, "too_many_files")
    assert outcomes(post("/v1/read/batch", files=[("images", bytes(3001)), ("images", b"x")])) == [413, 415]
    zipped = zip_of({f"{n}.png": word(n) for n in range(3)})
    assert error_of(post("/v1/read/batch", files=[("images", zipped), ("images", word(1))])) == (413, "too_many_files")


def test_a_too_long_length_is_refused_before_the_body_is_sent(server):
    with server.connect() as connection:
        connection.sendall(request(b"")[: -len(b"0\r\n\r\n")] + b"99999999999\r\n\r\n")
        status, answer, head = answer_on(connection)
    assert (status, answer["error"]["code"]) == (413, "too_large") and b"connection: close" in head


def test_a_full_queue_is_told_with_a_time_to_try_again(run_server, package):
    server = run_server(package, queue=1, max_wait_ms=500.0, max_batch=64)
    with server.connect() as waiting:
        waiting.sendall(request(word(1)))
        while not server.service.batcher.waiting:
            pass
        answer = server.client.post("/v1/read", content=word(2), headers=PNG)
        assert error_of(answer) == (429, "busy") and int(answer.headers["retry-after"]) >= 1
        several = server.client.post("/v1/read/batch", files=[("images", word(2))])
        assert error_of(several) == (429, "busy")
        assert answer_on(waiting)[0] == 200
    assert server.client.post("/v1/read", content=word(2), headers=PNG).status_code == 200


def test_too_many_bytes_at_once_are_refused(run_server, package):
    server = run_server(package, **SMALL)
    server.service.held.take(server.service.settings.max_held_bytes - 100)
    try:
        assert error_of(server.client.post("/v1/read", content=word(1), headers=PNG)) == (429, "busy")
    finally:
        server.service.held.give_back(server.service.settings.max_held_bytes - 100)
    assert server.client.post("/v1/read", content=word(1), headers=PNG).status_code == 200
    assert server.service.held._held == 0


# --- errors


@pytest.mark.parametrize(
    "path, sent, expected",
    [
        ("/v1/read", {"content": b"", "headers": PNG}, (400, "empty")),
        ("/v1/read", {"content": b"hello", "headers": PNG}, (415, "not_an_image")),
        ("/v1/read", {"content": b"x", "headers": {"Content-Type": "text/plain"}}, (415, "media_type")),
        ("/v1/read", {"content": b"x"}, (415, "media_type")),
        ("/v1/read", {"content": b"x", "headers": {**PNG, "Content-Encoding": "gzip"}}, (415, "content_encoding")),
        ("/v1/read", {"files": {"picture": b"x"}}, (400, "bad_form")),
        ("/v1/read", {"files": [("image", b"x"), ("image", b"y")]}, (400, "bad_form")),
        ("/v1/read", {"files": {"other": b"x"}, "data": {"image": "a text"}}, (400, "bad_form")),
        ("/v1/read/batch", {"files": {"images": b"x"}, "data": {"images": "a text"}}, (400, "bad_form")),
        ("/v1/read/batch", {"files": [("x", b"")] * 300}, (413, "too_many_files")),
        ("/v1/read", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, (400, "bad_form")),
        ("/v1/read?letters=perhaps", {"content": b"x", "headers": PNG}, (422, "parameter")),
        ("/v1/read?alternatives=11", {"content": b"x", "headers": PNG}, (422, "parameter")),
        ("/v1/read/batch", {"files": {"image": b"x"}}, (400, "empty")),
        ("/v1/read/batch", {"content": zip_of({}), "headers": {"Content-Type": "application/zip"}}, (400, "empty")),
        ("/v1/read/batch", {"files": {"images": zip_of({"__MACOSX/x": b"x"})}}, (400, "empty")),
        ("/v1/read/batch", {"content": b"x", "headers": PNG}, (415, "media_type")),
        ("/v1/other", {"content": b"x"}, (404, "not_found")),
        ("/v1/model", {"content": b"x"}, (405, "method")),
    ],
)
def test_each_error_has_a_status_and_a_code(server, path, sent, expected):
    assert error_of(server.client.post(path, **sent)) == expected


def test_damaged_images_are_told(server):
    for cut in (30, 60, 400):
        assert error_of(server.client.post("/v1/read", content=word(1)[:-cut], headers=PNG)) == (422, "damaged_image")
    wide = png_of(np.full((1, 2000), 255, np.uint8))
    assert error_of(server.client.post("/v1/read", content=wide, headers=PNG)) == (422, "too_wide")


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_form_that_is_cut_off(server, cut):
    form = httpx.Request("POST", server.url, files={"image": word(1)})
    body, kind = form.read(), form.headers["content-type"]
    answer = server.client.post("/v1/read", content=body[: len(body) - 4 - cut], headers={"Content-Type": kind})
    assert error_of(answer) == (400, "bad_form")


def test_allowed_methods_are_told(server):
    assert server.client.get("/v1/read").headers["allow"] == "POST"


# --- tokens


def test_a_token_is_asked_for(run_server, package):
    get = run_server(package, tokens=TOKENS).client.get
    for given in (None, "", "Bearer", "Bearer x", "Basic " + TOKENS[0].decode(), TOKENS[0].decode()):
        answer = get("/v1/model", headers={} if given is None else {"Authorization": given})
        assert error_of(answer) == (401, "token") and answer.headers["www-authenticate"] == "Bearer"
    for token in TOKENS:
        assert get("/v1/model", headers={"Authorization": f"bearer {token.decode()}"}).status_code == 200
    assert error_of(get("/metrics")) == (401, "token")
    assert [get(path).status_code for path in ("/healthz", "/readyz", "/docs", "/openapi.json")] == [200] * 4


def test_a_refused_body_is_not_read_and_the_answer_arrives(run_server, package):
    """A connection closed while its client still sends would be reset, and the answer lost."""
    server = run_server(package, tokens=TOKENS)
    answer = server.client.post("/v1/read", content=bytes(5_000_000), headers=PNG)
    assert error_of(answer) == (401, "token") and answer.headers["connection"] == "close"


# --- what watches it


def test_is_ready_until_it_stops(server):
    assert server.client.get("/healthz").json() == {"status": "alive"}
    assert server.client.get("/readyz").json() == {"status": "ready"}
    server.service.state = "stopping"
    try:
        answer = server.client.get("/readyz")
        assert error_of(answer) == (503, "not_ready") and answer.headers["connection"] == "close"
        answered = server.client.post("/v1/read", content=word(1), headers=PNG)  # it was accepted
        assert answered.status_code == 200 and answered.headers["connection"] == "close"
    finally:
        server.service.state = "ready"


def values_of(server) -> dict[str, float]:
    lines = server.client.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/"])
def test_head_is_get_without_a_body(server, path):
    """As balancers of load ask."""
    got, head = server.client.get(path), server.client.head(path)
    assert (head.status_code, head.content) == (200, b"") and got.content
    differing = {"date"}
    assert {k: v for k, v in head.headers.items() if k not in differing} == {
        k: v for k, v in got.headers.items() if k not in differing
    }
    refused = server.client.post(path)
    assert refused.status_code == 405 and refused.headers["allow"] == "GET, HEAD"


def test_the_document_tells_of_head(server):
    paths = server.client.get("/openapi.json").json()["paths"]
    assert {path for path, operations in paths.items() if "head" in operations} == {"/healthz", "/readyz"}
    assert not any(
        "content" in each for path in ("/healthz", "/readyz") for each in paths[path]["head"]["responses"].values()
    )


def test_metrics_count_what_happened(run_server, package):
    server = run_server(package, queue=77)  # of its own
    before = values_of(server)
    for seed in range(3):
        server.client.post("/v1/read", content=word(seed), headers=PNG)
    server.client.post("/v1/read", content=b"x", headers=PNG)
    server.client.get("/some/path")
    after = values_of(server)

    def more(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert more('horovod_ocr_requests_total{path="/v1/read",status="200"}') == 3
    assert more('horovod_ocr_requests_total{path="/v1/read",status="415"}') == 1
    assert more('horovod_ocr_requests_total{path="other",status="404"}') == 1
    assert more('horovod_ocr_request_seconds_count{path="/v1/read"}') == 4
    assert more('horovod_ocr_rejected_total{reason="not_an_image"}') == 1
    assert more("horovod_ocr_images_read_total") == more("horovod_ocr_batch_images_sum") == 3
    assert after["horovod_ocr_queue_images"] == 0 and after["horovod_ocr_resident_memory_bytes"] > 1e6


# --- documents and the page


def test_docs_load_nothing_from_elsewhere(server):
    answer = server.client.get("/docs")
    assert "POST /v1/read/batch" in answer.text and "default-src 'none'" in answer.headers["content-security-policy"]
    for word_of_html in ("<script", "http://", "https://", "@import", "url("):
        assert word_of_html not in answer.text


def test_the_document_names_every_route_and_refusal(server):
    document = json.loads(server.client.get("/openapi.json").content)
    assert {"/v1/read", "/v1/read/batch", "/v1/model", "/healthz", "/readyz", "/metrics"} == document["paths"].keys()
    read = document["paths"]["/v1/read"]["post"]
    assert {"200", "400", "401", "408", "413", "415", "422", "429", "503"} <= read["responses"].keys()
    assert "HTTPValidationError" not in str(document)


def test_no_page_if_none_is_wanted(run_server, package):
    server = run_server(package, page=False)
    assert error_of(server.client.get("/")) == (404, "not_found")


def test_a_file_without_a_name_in_a_zip(server):
    nameless = zip_of({"a": word(1)})
    place = nameless.index(b"PK\x01\x02")
    nameless = nameless[: place + 28] + bytes(2) + nameless[place + 30 : place + 46] + nameless[place + 47 :]
    end = nameless.index(b"PK\x05\x06")
    size = int.from_bytes(nameless[end + 12 : end + 16], "little") - 1
    nameless = nameless[: end + 12] + size.to_bytes(4, "little") + nameless[end + 16 :]
    answer = server.client.post("/v1/read/batch", content=nameless, headers={"Content-Type": "application/zip"})
    assert outcomes(answer) == [422]
