"""The page in a browser, from a folder opened as a file, and from `horovod-ocr serve`; both read what Python reads."""

import csv
import functools
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from horovod_ocr.data.image import Geometry, pad_image
from horovod_ocr.errors import ConfigError
from horovod_ocr.export.graph import build_graph
from horovod_ocr.export.int8 import quantise
from horovod_ocr.recognizer import Recognizer
from horovod_ocr.recognizer.package import ABOUT, MODEL_NAMES, read_package
from horovod_ocr.serve.standalone import find_runtime, make_page
from horovod_ocr.tasks.readers import WordReader
from horovod_ocr.text.charset import Charset
from sharding.format.script.profile import build_profile
from tests.e2e.browser import Visit, chromium, screenshots_folder
from tests.unit.export.conftest import random_model
from tests.unit.recognizer.packages import CLASS_GEOMETRY, CLASSES, about_of, random_word, write_package

pytestmark = pytest.mark.e2e
MARKS_AND_NUMBERS = WordReader(Charset.build("ابپتکگیےں" + "\u0654\u064e" + "۱۲۹19 .،()", build_profile("urdu")))
MOST_BYTES = 15_000_000  # of a folder with a small model
TOKEN = "open-sesame-0123456789"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    return write_package(tmp_path_factory.mktemp("export") / "urdu", MARKS_AND_NUMBERS, name="urdu-test")


@pytest.fixture(scope="module")
def class_package(tmp_path_factory) -> Path:
    return write_package(tmp_path_factory.mktemp("export") / "classes", CLASSES, CLASS_GEOMETRY, name="pets")


@pytest.fixture(scope="module")
def runtime() -> Path:
    try:
        return find_runtime()
    except ConfigError as error:
        pytest.skip(f"needs onnxruntime-web: {error}")


@pytest.fixture(scope="module")
def standalone(package, runtime, tmp_path_factory) -> Path:
    """The folder of `horovod-ocr page`."""
    made = make_page(read_package(package), tmp_path_factory.mktemp("stick") / "page", runtime)
    assert made.total_bytes < MOST_BYTES
    return made.folder


@pytest.fixture(scope="module")
def served(package, tmp_path_factory) -> Iterator[str]:
    """The address of `horovod-ocr serve`, which asks for a token."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens.txt"
    tokens.write_text(f"{TOKEN}\n")
    tokens.chmod(0o600)
    command = [sys.executable, "-m", "horovod_ocr", "serve", str(package), "--port", "0", "--token-file", str(tokens)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            yield line.split()[-1] + "/"
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def visit(browser, tmp_path) -> Iterator[Callable[..., Visit]]:
    """visit(url, ...) -> an open page. At the end each is checked."""
    visits: list[Visit] = []

    def start(url: str, is_opened: bool = True, **context) -> Visit:
        visits.append(Visit(browser, url, screenshots_folder(tmp_path), **context))
        return visits[-1].open() if is_opened else visits[-1]

    yield start
    for each in visits:
        each.check()
        each.context.close()


@pytest.fixture(scope="module")
def shared(browser, standalone, tmp_path_factory) -> Iterator[Visit]:
    """The page without a server, opened as a file, for most tests: to load the model takes a second."""
    found = Visit(browser, (standalone / "index.html").as_uri(), screenshots_folder(tmp_path_factory.mktemp("shots")))
    yield found.open()
    found.context.close()


@pytest.fixture
def alone(shared) -> Iterator[Visit]:
    """The same without pictures."""
    yield shared
    shared.check()
    shared.page.click("#clear-all")
    assert shared.page.locator(".item").count() == 0


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> list[Path]:
    """Of several sizes, in grey, in colour, transparent, as PNG and JPEG."""
    folder = tmp_path_factory.mktemp("words")
    paths = []
    for number, (width, height) in enumerate([(60, 40), (33, 32), (120, 50), (90, 64), (200, 48), (31, 71)]):
        levels = random_word(number, width, height)
        image = Image.fromarray(levels)
        if number == 1:
            image = Image.merge("RGB", [image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), image])
        elif number == 2:
            image.putalpha(Image.fromarray(np.where(levels > 150, 0, 255).astype(np.uint8)))
        paths.append(folder / f"word-{number}.{'jpg' if number == 3 else 'png'}")
        image.save(paths[-1], **({"quality": 95} if number == 3 else {}))
    return paths


def open_served(visit, served: str) -> Visit:
    """The served page, with its token given."""
    found = visit(served, is_opened=False)
    found.page.goto(served)
    found.page.fill("#token-field", TOKEN)
    found.page.keyboard.press("Enter")
    found.page.wait_for_selector("html[data-ready]")
    return found


def check_reading(found: Visit, path: Path, recognizer: Recognizer) -> None:
    """What is shown is what Python reads: text, confidence, other readings, and boxes within 2 px."""
    ready = recognizer.prepare(path)
    [expected] = recognizer.read_ready([ready])
    assert found.text("#detail-title") == path.name
    reading = found.page.locator("#reading")
    assert reading.text_content() == expected.text
    assert (reading.get_attribute("dir"), reading.get_attribute("lang")) == ("rtl", "ur")
    shown = found.text("#confidence-text").split()[0].replace("<", "0")
    assert abs(float(shown) / 100 - expected.confidence) < 0.01
    assert found.page.locator("#letters .glyph").all_text_contents() == [
        letter.text if letter.text.strip() else "␣" for letter in expected.letters
    ]
    boxes = found.page.eval_on_selector_all(
        "#boxes .box",
        """boxes => { const canvas = document.querySelector('#picture'); return boxes.map(({style}) => {
          const of = (name, size) => parseFloat(style[name]) / 100 * size, {width, height} = canvas;
          const left = of('left', width), top = of('top', height);
          return [left, top, left + of('width', width), top + of('height', height)]; }); }""",
    )
    assert np.abs(np.array(boxes) - [letter.box for letter in expected.letters]).max() <= 2


@pytest.mark.parametrize("form", ["alone", "served"])
def test_both_forms_read_what_python_reads(form, visit, words, package, request):
    found = (
        request.getfixturevalue("alone") if form == "alone" else open_served(visit, request.getfixturevalue("served"))
    )
    found.choose(*words)
    recognizer = Recognizer.load(package)
    buttons = found.page.locator(".item-button")
    for number, path in enumerate(words):
        buttons.nth(number).click()
        check_reading(found, path, recognizer)
    assert found.page.locator("#alternatives li").count() > 0
    assert found.text("#seen-text").startswith("32 × 32 pixels, grey")
    found.shoot(f"{form}-words")


def test_the_server_reads_what_the_browser_cannot_show(visit, served, words, package, tmp_path):
    with Image.open(words[0]) as image:
        image.save(tmp_path / "scan.tiff")
    found = open_served(visit, served)
    found.choose(tmp_path / "scan.tiff")
    recognizer = Recognizer.load(package)
    [expected] = recognizer.read_ready([recognizer.prepare(words[0])])
    assert found.page.locator("#reading").text_content() == expected.text
    assert not found.page.is_visible("#picture-part")


def test_pictures_are_dropped_and_pasted(alone, words):
    found = alone
    content = list(words[0].read_bytes())
    transfer = found.page.evaluate_handle(
        """bytes => { const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(bytes)], "dropped.png", {type: "image/png"})); return data; }""",
        content,
    )
    found.page.dispatch_event("#drop", "dragenter", {"dataTransfer": transfer})
    assert found.page.locator("body.dragged").count() == 1
    found.page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    found.wait_for(1)
    dropped = found.text("#reading")
    found.page.evaluate(
        "data => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}))", transfer
    )
    found.wait_for(2)
    assert found.text("#reading") == dropped != ""
    assert found.page.locator("body.dragged").count() == 0


@pytest.mark.parametrize("form", ["alone", "served"])
def test_several_pictures_with_a_bad_one_become_a_csv(form, visit, words, package, tmp_path, request):
    formula, broken = tmp_path / "=cmd.png", tmp_path / "broken.png"
    formula.write_bytes(words[0].read_bytes())
    broken.write_bytes(words[0].read_bytes()[:-30])
    empty = tmp_path / "empty.png"
    empty.touch()
    found = (
        request.getfixturevalue("alone") if form == "alone" else open_served(visit, request.getfixturevalue("served"))
    )
    found.choose(*words[:2], formula, broken, empty)
    assert "failed" in found.text("#progress-text")
    found.page.locator(".item-button").nth(4).click()
    assert found.text("#reading-error").endswith(".")
    found.shoot(f"{form}-error")
    with found.page.expect_download() as download:
        found.page.click("#csv")
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    head, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    assert head == ["file", "text", "confidence", "other readings", "error"]
    recognizer = Recognizer.load(package)
    for row, path in zip(rows[:3], [*words[:2], formula], strict=True):
        [expected] = recognizer.read_ready([recognizer.prepare(path)])
        assert row[0] == ("'=cmd.png" if path == formula else path.name)
        assert row[1].lstrip("'") == expected.text
        assert float(row[2]) == pytest.approx(expected.confidence, abs=0.01)
    assert [bool(row[4]) for row in rows] == [False, False, False, True, True]


def test_a_picture_is_cropped_turned_tilted_and_inverted(alone, words, package):
    found = alone
    found.choose(words[4])  # 200 x 48
    first = found.text("#reading")
    page = found.page

    def size() -> tuple[int, int]:
        return tuple(page.eval_on_selector("#picture", "canvas => [canvas.width, canvas.height]"))

    page.click("#crop")
    box = page.locator("#crop-layer").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] - 1, steps=4)
    page.mouse.up()
    found.shoot("crop")
    page.click("#crop-apply")
    found.wait_for(1)
    assert abs(size()[0] - 100) <= 2
    assert abs(size()[1] - 48) <= 2
    cropped = size()
    with Image.open(words[4]) as image:
        part = np.asarray(image)
    page.click("#turn-right")
    found.wait_for(1)
    assert size() == cropped[::-1]
    page.click("#turn-left")
    found.wait_for(1)
    page.click("#invert")
    found.wait_for(1)
    assert page.get_attribute("#invert", "aria-pressed") == "true"
    page.focus("#angle")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(250)
    found.wait_for(1)
    assert found.text("#angle-text") == "5°"
    assert size()[0] > cropped[0]
    found.shoot("tilted")
    page.click("#reset")
    found.wait_for(1)
    assert size() == part.shape[::-1]
    assert found.text("#reading") == first
    page.click("#invert")
    found.wait_for(1)
    recognizer = Recognizer.load(package)
    [expected] = recognizer.read_ready([recognizer.prepare(255 - part)])
    assert found.page.locator("#reading").text_content() == expected.text != first


def test_large_pictures_are_let_go_and_come_back(alone, words, tmp_path):
    with Image.open(words[0]) as image:
        image.resize((1200, 800)).save(tmp_path / "large.png")
    found = alone
    found.choose(tmp_path / "large.png", tmp_path / "large.png", words[0])
    page = found.page
    for number, width in ((2, 60), (0, 1200), (1, 1200)):
        page.locator(".item-button").nth(number).click()
        page.locator(f"#picture[width='{width}']").wait_for()
    page.click("#turn-left")
    found.wait_for(3)
    page.locator(".item-button").nth(0).click()
    page.locator(".item-button").nth(1).click()  # what was changed is kept
    assert page.eval_on_selector("#picture", "canvas => [canvas.width, canvas.height]") == [800, 1200]


def test_a_word_is_drawn(alone):
    found = alone
    page = found.page
    page.click("#draw")
    box = page.locator("#pad-canvas").bounding_box()
    for row in (0.35, 0.6):
        page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * row)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * (row + 0.1), steps=12)
        page.mouse.up()
    found.shoot("drawing")
    page.click("#pad-undo")
    assert page.is_enabled("#pad-read")
    page.click("#pad-undo")
    assert not page.is_enabled("#pad-read")
    page.mouse.move(box["x"] + 100, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 120, steps=12)
    page.mouse.up()
    page.click("#pad-read")
    found.wait_for(1)
    assert found.text("#detail-title") == "Drawing"
    assert found.text("#reading")
    width, height = page.eval_on_selector("#picture", "canvas => [canvas.width, canvas.height]")
    assert width > 2 * height  # the stroke and a margin, not the whole area


def test_a_word_is_photographed(visit, standalone):
    found = visit((standalone / "index.html").as_uri(), permissions=["camera"])
    found.page.click("#photograph")
    found.page.locator("#camera[open]").wait_for()
    found.page.wait_for_selector("#camera-video")
    found.page.wait_for_timeout(700)  # until the camera shows something
    found.shoot("camera")
    found.page.click("#camera-take")
    found.wait_for(1)
    assert found.text("#detail-title") == "Photograph"
    assert found.page.eval_on_selector("#camera-video", "video => video.srcObject") is None


def test_everything_works_by_keyboard(visit, standalone, words):
    found = visit((standalone / "index.html").as_uri())
    page = found.page
    page.bring_to_front()  # the shared page is open too
    page.on("filechooser", lambda chooser: None)  # begins to listen now; at the key it would be too late at times

    def focused() -> str:
        return page.evaluate("document.activeElement.id || document.activeElement.className")

    order = []
    for _ in range(6):
        page.keyboard.press("Tab")
        order.append(focused())
    assert order[1:5] == ["choose", "paste", "photograph", "draw"]
    page.focus("#choose")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([str(path) for path in words[:3]])
    found.wait_for(3)
    spoken = page.locator("#announcer")
    assert spoken.text_content().startswith(f"{words[0].name}: {found.text('#reading')}, ")
    assert spoken.text_content().endswith("All 3 pictures are read.")
    assert spoken.locator("span").get_attribute("lang") == "ur"
    page.locator(".item-button").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert found.text("#detail-title") == words[1].name
    page.keyboard.press("Delete")
    assert page.locator(".item").count() == 2
    assert found.text("#detail-title") == words[2].name
    page.locator(".letter").first.focus()
    assert page.locator(".box.pointed").count() == 1
    found.shoot("letter")
    page.locator("#boxes .box").last.hover()
    assert "pointed" in page.locator(".letter").last.get_attribute("class")
    page.focus("#crop")
    page.keyboard.press("Enter")
    assert focused() == "crop-box"
    for key in ("Shift+ArrowLeft", "ArrowRight", "Control+Shift+ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.press("Escape")
    assert focused() == "crop"
    page.keyboard.press("Enter")
    page.keyboard.press("Control+Shift+ArrowLeft")
    page.keyboard.press("Enter")
    found.wait_for(2)
    assert page.eval_on_selector("#picture", "canvas => canvas.width") < 120
    outline = page.eval_on_selector("#crop", "button => getComputedStyle(button).outlineStyle")
    assert outline == "solid"


def test_a_phone_in_the_dark_needs_no_scrolling_sideways(visit, standalone, words, tmp_path):
    long_name = tmp_path / f"{'a-long-name-' * 8}.png"
    long_name.write_bytes(words[4].read_bytes())
    phone = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark", "reduced_motion": "reduce"}
    found = visit((standalone / "index.html").as_uri(), **phone, has_touch=True)
    found.shoot("phone-empty")

    def overhang() -> int:
        return found.page.evaluate("document.documentElement.scrollWidth - innerWidth")

    assert overhang() <= 0
    found.choose(*words[:3], long_name)
    for number in range(4):
        found.page.locator(".item-button").nth(number).click()
        assert overhang() <= 0
    found.shoot("phone")
    found.page.click("#crop")
    assert overhang() <= 0
    background = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(level) for level in background[4:-1].split(",")) < 60


def test_a_classifier_shows_probabilities(visit, class_package, runtime, words, tmp_path):
    folder = make_page(read_package(class_package), tmp_path / "page", runtime).folder
    found = visit((folder / "index.html").as_uri())
    found.choose(words[1])
    recognizer = Recognizer.load(class_package)
    [expected] = recognizer.read_ready([recognizer.prepare(words[1])])
    assert found.text("#reading") == expected.text
    assert found.page.get_attribute("#reading", "lang") is None
    bars = found.page.locator("#classes li")
    assert bars.count() == len(CLASSES.classes)
    assert bars.first.inner_text().startswith(expected.text)
    found.shoot("classes")


def test_a_static_host_serves_it_too(visit, standalone, words, package):
    serve_files = functools.partial(QuietHandler, directory=str(standalone))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve_files) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        try:
            found = visit(f"http://127.0.0.1:{host.server_port}/index.html")
            found.choose(words[0])
            check_reading(found, words[0], Recognizer.load(package))
        finally:
            host.shutdown()
            thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_the_served_page_waits_while_the_server_is_busy(visit, served, words):
    found = open_served(visit, served)
    refused = []

    def refuse_once(route) -> None:
        if refused:
            route.fallback()
        else:
            refused.append(route.request.url)
            route.fulfill(status=429, headers={"Retry-After": "1"}, json={"error": {"code": "busy", "message": "Busy"}})

    found.context.route("**/v1/read*", refuse_once)
    found.choose(words[0])
    assert len(refused) == 1
    assert found.text("#reading")


def test_the_served_page_says_that_the_server_is_gone(visit, served, words):
    found = open_served(visit, served)
    found.context.route("**/v1/read*", lambda route: route.abort())
    found.choose(words[0])
    assert found.text("#reading-error").startswith("The server does not answer")
    found.errors.clear()  # of the request that was cut


def test_a_crnn_in_int8_reads_in_the_browser_as_in_python(visit, words, runtime, tmp_path):
    """The operators of an exported model, with random weights."""
    geometry = Geometry(64, (0.8, 1.25, 2.0, 4.0))
    model = random_model("crnn", MARKS_AND_NUMBERS.outputs, geometry.height, width=0.25, hidden=24)
    with torch.no_grad():
        for weights in (*model.lstm.parameters(), model.head.weight):
            weights *= 8  # so that frames differ, and letters clearly
    graph = build_graph(model, geometry)
    some = [pad_image(random_word(seed, 96, 64), 128)[None, :, :, None] for seed in range(4)]
    models = {"fp32": graph.SerializeToString(), "int8": quantise(graph, some).SerializeToString()}
    package = write_package(tmp_path / "export", MARKS_AND_NUMBERS, geometry)
    (package / ABOUT).write_text(json.dumps(about_of(MARKS_AND_NUMBERS, geometry, models)), "utf-8")
    for name, content in models.items():
        (package / MODEL_NAMES[name]).write_bytes(content)
    recognizer = Recognizer.load(package)
    assert sum(len(reading.letters) for reading in recognizer.read([str(path) for path in words])) > len(words)
    found = visit((make_page(read_package(package), tmp_path / "page", runtime).folder / "index.html").as_uri())
    found.choose(*words)
    for number, path in enumerate(words):
        found.page.locator(".item-button").nth(number).click()
        check_reading(found, path, recognizer)
