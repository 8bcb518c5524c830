"""The page's JavaScript brings images to the model's size as Python does."""

import numpy as np
import pytest
from PIL import Image

from horovod_ocr.data.image import Geometry
from horovod_ocr.recognizer.images import ink_boxes, prepare_image
from tests.unit.serve.page_js import needs_node, run_js

pytestmark = needs_node()
WORDS = Geometry(64, (0.5, 0.8, 1.25, 2.0, 3.05, 4.77))
PHOTOS = Geometry(32, (1.0,), width=48, channels=3)
PREPARE_IN_JS = """
return values.images.map(({rgb, width, height}) => {
  const data = new Uint8ClampedArray(width * height * 4);
  for (let at = 0; at < width * height; at++) data.set([...rgb.slice(3 * at, 3 * at + 3), 255], 4 * at);
  const ready = pixels.prepare({ data, width, height }, values.geometry);
  let boxes = [];
  if (ready.channels === 1) {
    const hasInk = pixels.inkOf(ready);
    for (let start = 0; start < ready.validWidth; start += 4) {
      boxes.push(pixels.boxOfColumns(hasInk, ready.validWidth, ready.height, start, start + 8));
    }
  }
  return { levels: [...ready.data], width: ready.width, valid: ready.validWidth, boxes };
});"""
# smaller and larger than the model's height, very narrow, very wide, and with widths that are halves before rounding
SIZES = [
    (64, 64),
    (3, 1),
    (7, 200),
    (150, 90),
    (301, 61),
    (900, 64),
    (45, 96),
    (33, 128),
    (1, 64),
    (640, 480),
    (515, 33),
]


def random_pictures() -> list[np.ndarray]:
    """uint8 (H, W, 3): smooth, so that resizing has something to keep."""
    draw = np.random.default_rng(5)
    pictures = []
    for width, height in SIZES:
        small = draw.integers(0, 256, (max(1, height // 5), max(1, width // 5), 3), np.uint8)
        pictures.append(np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)))
    return pictures


def prepare_in_js(pictures: list[np.ndarray], geometry: Geometry) -> list[dict]:
    images = [{"rgb": each.ravel().tolist(), "width": each.shape[1], "height": each.shape[0]} for each in pictures]
    return run_js(PREPARE_IN_JS, {"images": images, "geometry": geometry.to_dict()})


@pytest.mark.parametrize("geometry", [WORDS, PHOTOS], ids=["words", "photos"])
def test_levels_are_those_of_pillow(geometry):
    pictures = random_pictures()
    for picture, found in zip(pictures, prepare_in_js(pictures, geometry), strict=True):
        ready = prepare_image(picture, geometry)
        levels = np.array(found["levels"]).reshape(geometry.height, found["width"], geometry.channels)
        assert levels.shape == ready.pixels_HWC.shape, picture.shape
        assert found["valid"] == ready.valid_width_px
        assert np.abs(levels - ready.pixels_HWC.astype(int)).max() <= 1
        assert (levels == ready.pixels_HWC).mean() > 0.999


def test_boxes_are_those_of_python():
    pictures = random_pictures()
    for picture, found in zip(pictures, prepare_in_js(pictures, WORDS), strict=True):
        ready = prepare_image(picture, WORDS)
        width = ready.valid_width_px
        spans = [(start, min(width, start + 8)) for start in range(0, width, 4)]
        expected = [list(box) for box in ink_boxes(ready, spans)]
        assert len(expected) == len(found["boxes"])
        assert max(abs(np.subtract(expected, found["boxes"])).ravel()) <= 1


def test_blank_picture_has_boxes_from_top_to_bottom():
    white = np.full((50, 100, 3), 255, np.uint8)
    [found] = prepare_in_js([white], WORDS)
    assert set(found["levels"]) == {255}
    assert found["boxes"][0] == [0, 0, 8, 64]
