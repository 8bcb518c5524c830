"""An export as a reader of images: a reading depends on its own image alone, however it is given."""

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from horovod_ocr.errors import SourceError
from horovod_ocr.recognizer import Recognizer
from tests.unit.recognizer.packages import (
    CLASS_GEOMETRY,
    CLASSES,
    WORD_GEOMETRY,
    network_of,
    random_word,
    write_package,
)

SIZES = [(20, 32), (31, 30), (60, 40), (20, 32), (150, 40), (400, 33), (5, 64)]  # width, height


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return Recognizer.load(write_package(tmp_path_factory.mktemp("export")))


@pytest.fixture(scope="module")
def words():
    return [random_word(number, *size) for number, size in enumerate(SIZES * 3)]


def as_png(levels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    return buffer.getvalue()


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(len(SIZES) * 3)), count=st.integers(1, len(SIZES) * 3))
def test_company_changes_no_reading(recognizer, words, order, count):
    """The promise of the README: text, confidence and letters are the same alone and in any batch."""
    alone = [recognizer.read(word)[0] for word in words]
    chosen = order[:count]
    together = recognizer.read([words[number] for number in chosen])
    for number, reading in zip(chosen, together, strict=True):
        assert reading.text == alone[number].text
        assert reading.confidence == pytest.approx(alone[number].confidence, abs=1e-5)
        assert [letter.box for letter in reading.letters] == [letter.box for letter in alone[number].letters]
    assert len({reading.text for reading in alone}) > 3, "readings that are all the same prove nothing"


def test_threads_change_no_reading(recognizer, words):
    alone = [recognizer.read(word)[0] for word in words]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda word: recognizer.read(word)[0], words * 5))
    for reading, wanted in zip(found, alone * 5, strict=True):
        assert (reading.text, reading.letters) == (wanted.text, wanted.letters)


def test_an_image_is_the_same_in_every_form(recognizer, words, tmp_path):
    word = words[2]
    (tmp_path / "word.png").write_bytes(as_png(word))
    forms = [
        tmp_path / "word.png",
        str(tmp_path / "word.png"),
        as_png(word),
        Image.fromarray(word),
        Image.fromarray(word).convert("RGB"),
        word,
        word[:, :, None],
        np.repeat(word[:, :, None], 3, 2),
    ]
    readings = recognizer.read(forms)
    assert all(reading == readings[0] for reading in readings) and readings[0].text


def test_turned_and_transparent_images_are_read_as_the_sharder_packs_them(recognizer, words):
    upright = Image.fromarray(words[2])
    turned, exif = upright.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[274] = 6
    buffer = io.BytesIO()
    turned.save(buffer, "PNG", exif=exif)
    alpha = Image.new("RGBA", upright.size, (0, 0, 0, 0))
    alpha.putalpha(Image.fromarray(255 - words[2]))
    black_on_white = recognizer.read(words[2])[0]
    assert recognizer.read(buffer.getvalue())[0].text == black_on_white.text
    assert recognizer.read(Image.open(io.BytesIO(buffer.getvalue())))[0].text == black_on_white.text
    assert recognizer.read(alpha)[0].text == black_on_white.text  # ink as transparency, on white


@pytest.mark.parametrize(
    "image, said",
    [
        (b"", "image 0: not an image"),
        (b"GIF89a", "image 0: not an image"),
        (np.zeros((4, 4), np.float32), "an array of float32 (4, 4) is no image"),
        (np.zeros((4, 4, 4), np.uint8), "give uint8 levels (H, W) or (H, W, 3)"),
        (np.zeros((0, 4), np.uint8), "damaged image"),
        (np.zeros((1, 400), np.uint8), "too wide"),
        ("nothing.png", "nothing.png: missing image"),
        ("/dev/null", "/dev/null: not a file"),
    ],
)
def test_what_is_no_image_is_refused(recognizer, image, said):
    with pytest.raises(SourceError) as raised:
        recognizer.read(image)
    assert said in str(raised.value)


def test_letters_are_in_reading_order_and_boxes_within_the_image(recognizer, words):
    """Urdu is read from right to left: so are the boxes of a reading without digits."""
    seen = 0
    for word in [*words, *(random_word(seed, 90) for seed in range(60))]:
        (reading,) = recognizer.read(word)
        assert "".join(letter.text for letter in reading.letters) == reading.text
        height, width = word.shape
        for letter in reading.letters:
            left, top, right, bottom = letter.box
            assert 0 <= left < right <= width + 1e-6 and 0 <= top < bottom <= height + 1e-6
            assert 0 < letter.confidence <= 1
        if not set(reading.text) & set(" ۱۲۳"):
            lefts = [letter.box[0] for letter in reading.letters]
            assert lefts == sorted(lefts, reverse=True)
            seen += len(lefts) > 2
    assert seen > 2


def test_classes_have_probabilities_and_no_letters(tmp_path):
    recognizer = Recognizer.load(write_package(tmp_path, CLASSES, CLASS_GEOMETRY))
    readings = recognizer.read([random_word(seed) for seed in range(4)])
    for reading in readings:
        described = recognizer.reader.describe(reading)
        assert described["class"] == reading.text and reading.letters == ()
        assert sum(described["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_the_temperature_changes_confidences_alone(tmp_path):
    task = {"temperature": 1.0}
    sharp = Recognizer.load(write_package(tmp_path / "sharp", confidence=task))
    flat = Recognizer.load(write_package(tmp_path / "flat", confidence={"temperature": 4.0}))
    words = [random_word(seed) for seed in range(9)]
    for one, other in zip(sharp.read(words), flat.read(words), strict=True):
        assert one.text == other.text and (one.confidence > other.confidence or not one.text)


def test_the_model_of_a_precision_is_read(tmp_path):
    folder = write_package(tmp_path)
    word = random_word(1)
    wanted = {"fp32": 0, "int8": 1, "auto": 1}
    ready = Recognizer.load(folder).prepare(word).pixels_HWC[None]
    for precision, seed in wanted.items():
        from horovod_ocr.recognizer.network import OnnxNetwork
        from tests.unit.recognizer.packages import WORDS

        same = OnnxNetwork(network_of(WORDS, WORD_GEOMETRY, seed), 16).logits(ready)
        assert np.array_equal(Recognizer.load(folder, precision).network.logits(ready), same)


BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "horovod", "webdataset", "rapidfuzz", "tensorboard", "matplotlib"):
            raise ImportError(name)
sys.meta_path.insert(0, Block())
from horovod_ocr.recognizer import Recognizer
print(Recognizer.load(sys.argv[1]).read(sys.argv[2])[0].text)
assert "torch" not in sys.modules
"""


def test_it_needs_neither_torch_nor_horovod(recognizer, words, tmp_path):
    folder = write_package(tmp_path / "export")
    (tmp_path / "word.png").write_bytes(as_png(words[2]))
    command = [sys.executable, "-c", BLOCKED, str(folder), str(tmp_path / "word.png")]
    said = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == recognizer.read(words[2])[0].text
