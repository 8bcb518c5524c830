"""A checkpoint's payload as a reader: a reading depends on its own image alone."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import CheckpointError, SourceError
from horovod_ocr.models.build import build_model
from horovod_ocr.recognizer.recognizer import build_recognizer, find_images, read_files
from horovod_ocr.tasks.words import WordTask
from horovod_ocr.text.charset import Charset
from sharding.format.script.profile import build_profile


@pytest.fixture
def payload() -> dict:
    task = WordTask(Charset.build("ابپتٹ", build_profile("urdu")))
    options = {"width": 0.25, "hidden": 8}
    torch.manual_seed(0)
    return {
        "task": task.to_dict(),
        "geometry": Geometry(32, (1.0, 2.0)).to_dict(),
        "model_name": "crnn",
        "model_options": options,
        "model": build_model("crnn", task.outputs, 32, **options).state_dict(),
    }


def test_company_changes_no_reading(payload, tmp_path):
    recognizer = build_recognizer(payload, "fp32")
    rng = np.random.default_rng(0)
    images = []
    for number, width in enumerate((20, 31, 60, 20, 150)):
        path = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (32, width)).astype(np.uint8)).save(path)
        images.append(recognizer.load(path))
    assert sorted({image.pixels_HWC.shape for image in images}) == [(32, 32, 1), (32, 64, 1), (32, 152, 1)]
    together = recognizer.read(images)
    for image, reading in zip(images, together, strict=True):
        (alone,) = recognizer.read([image])
        assert alone.text == reading.text and alone.confidence == pytest.approx(reading.confidence, rel=1e-3)
    assert recognizer.read([]) == []


def test_files_in_their_order_and_the_unreadable_named(payload, tmp_path):
    for name in ("b.png", "a.jpg"):
        Image.new("L", (50, 40), 255).save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    paths = find_images([tmp_path])
    assert [path.name for path in paths] == ["a.jpg", "b.png", "c.png"]
    rows = list(read_files(build_recognizer(payload), paths, batch=2))
    assert [path.name for path, _ in rows] == ["a.jpg", "b.png", "c.png"]
    assert isinstance(rows[2][1], SourceError) and "c.png: empty file (the file has no bytes)" in str(rows[2][1])


def test_a_folder_is_walked_as_the_sharder_walks_it(tmp_path):
    """Hidden files, as macOS and editors leave them, are no images; linked folders are followed."""
    for name in ("a/b.png", "a/._b.png", "a/.ipynb_checkpoints/b.png"):
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(b"x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.jpg").write_bytes(b"x")
    (tmp_path / "raw" / "link").symlink_to(tmp_path / "elsewhere")
    assert find_images([tmp_path / "raw"]) == [tmp_path / "raw" / "a" / "b.png", tmp_path / "raw" / "link" / "c.jpg"]


def test_turned_and_deep_images_are_read_as_the_sharder_packs_them(payload, tmp_path):
    recognizer = build_recognizer(payload)
    upright = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 3, (32, 1)))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[274] = 6
    upright.save(tmp_path / "upright.png")
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=100)
    Image.fromarray(np.asarray(upright).astype(np.uint16) << 8).save(tmp_path / "deep.png")
    expected = recognizer.load(tmp_path / "upright.png").pixels_HWC.astype(int)
    for name, most in (("turned.jpg", 4), ("deep.png", 0)):
        assert np.abs(recognizer.load(tmp_path / name).pixels_HWC.astype(int) - expected).max() <= most


def test_a_picture_of_another_kind_is_refused_with_the_kinds_that_are_read(payload, tmp_path):
    Image.new("L", (40, 20)).save(tmp_path / "a.gif")
    ((_, refused),) = read_files(build_recognizer(payload), [tmp_path / "a.gif"])
    assert str(refused) == f"{tmp_path / 'a.gif'}: not an image (not a PNG, JPEG, WebP, BMP or TIFF)"


def test_what_is_no_file_is_not_read(payload, tmp_path):
    """A pipe, or a device without an end."""
    os.mkfifo(tmp_path / "pipe.png")
    paths = find_images([tmp_path, Path("/dev/zero")])
    refused = [str(error) for _, error in read_files(build_recognizer(payload), paths)]
    assert refused == [f"{tmp_path / 'pipe.png'}: not a file", "/dev/zero: not a file"]


def test_nothing_to_read_is_said(tmp_path):
    with pytest.raises(SourceError, match="there is no image"):
        find_images([tmp_path / "gone.png"])
    with pytest.raises(SourceError, match="no image"):
        find_images([tmp_path])


def test_weights_of_another_model_are_refused(payload):
    payload["model_options"] = {"width": 0.25, "hidden": 16}
    with pytest.raises(CheckpointError, match="do not fit model crnn"):
        build_recognizer(payload)
