"""The sheet of augmentation shows every change, by the name and at the strength that the recipe gives it."""

import io
from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image

from horovod_ocr.config.overlay import overlay
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.augment.strengths import ONLY_PHOTOS, Augmentation
from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import ConfigError, ShardError
from horovod_ocr.reports import augmented
from horovod_ocr.reports.augmented import (
    MIXED,
    SHOWN,
    changed_image,
    changes_of,
    columns_of,
    draw_augmented_sheet,
    draw_lines,
    draw_words,
)

CHANGES = [entry.name for entry in fields(Augmentation) if entry.name != "share"]
OFF = Augmentation.off()
WORDS = Geometry(64, (2.0,))
GREY_PHOTOS = replace(WORDS, width=64)
PHOTOS = replace(GREY_PHOTOS, channels=3)


def word() -> np.ndarray:
    image_HW = np.full((64, 100), 240, np.uint8)
    image_HW[12:50, 20:80] = 30
    image_HW[28:34, 30:50] = 240
    return image_HW


def photo(channels: int) -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    shades = (3 * x + y, 255 - 2 * x - y, 128 + y - x)
    image_HWC = np.stack([40 + shade % 160 for shade in shades[:channels]], axis=2).astype(np.uint8)
    return image_HWC if channels == 3 else image_HWC[:, :, 0]


def test_words_and_grey_photos_have_no_columns_for_what_they_do_not_know():
    assert changes_of(PHOTOS) == CHANGES
    assert changes_of(GREY_PHOTOS) == [name for name in CHANGES if name != "colour"]
    assert changes_of(WORDS) == [name for name in CHANGES if name not in ONLY_PHOTOS]


def test_one_column_a_change_in_the_order_of_the_settings():
    strengths = Augmentation(blur_px=1.5, flip=True)
    columns = columns_of(strengths, CHANGES)
    assert [column.head for column in columns] == ["as it is", *CHANGES, *["all on"] * MIXED]
    notes = {column.head: column.note for column in columns}
    assert (notes["blur_px"], notes["noise"], notes["paper"]) == ("1.5", "0.08", f"off, here {SHOWN.paper:g}")
    assert (notes["flip"], columns_of(OFF, ["flip"])[1].note) == ("on", "off, here on")
    for column in columns[1:-MIXED]:
        on = {name for name in CHANGES if getattr(column.shown, name)}
        assert on == {column.head} and column.shown.share == 1


def test_without_changes_none_are_mixed():
    columns = columns_of(OFF, CHANGES)
    assert len(columns) == 1 + len(CHANGES) and all(column.note.startswith("off, here") for column in columns[1:])


@pytest.mark.parametrize(
    ("geometry", "image"),
    [(WORDS, word()), (GREY_PHOTOS, photo(1)), (PHOTOS, photo(3))],
    ids=["words", "grey photos", "photos"],
)
def test_every_change_alone_can_be_seen(geometry, image):
    columns = columns_of(SHOWN, changes_of(geometry))
    plain, *cells = (
        np.asarray(changed_image(image, geometry, column, SHOWN, (0, 0, 0))).astype(int) for column in columns
    )
    assert plain.shape == (64, geometry.width or 128, 3)[: image.ndim]
    for column, cell in zip(columns[1:], cells, strict=True):
        assert cell.shape == plain.shape and np.abs(cell - plain).mean() > 0.5, column.head


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.mark.slow
def test_the_sheet_of_photos_has_seven_of_them(make_set, tmp_path, monkeypatch):
    tables = []
    monkeypatch.setattr(augmented, "draw_words", lambda table, *rest: tables.append(table) or draw_words(table, *rest))
    index = make_set({"train": ["0", "1"] * 5}, kind="classes", classes=("a", "b"))
    monkeypatch.setattr(augmented, "MOST_WORD_PX", 40)  # words of this height would be lines
    given = {"height": 48, "pixels": "grey", "augmentation": {"crop": 0.2, "flip": True}}
    draw_augmented_sheet(overlay(TrainConfig.of(shards=str(index.root)), given, "a test"), tmp_path / "sheet.png")
    assert len(tables[0]) == 7 and len(tables[0][0]) == len(changes_of(GREY_PHOTOS)) + 1 + MIXED
    assert {cell.size for row in tables[0] for cell in row} == {(48, 48)}


def test_words_that_are_to_be_changed_like_photos_are_refused(make_set, tmp_path):
    index = make_set({"train": ["x"]})
    config = overlay(TrainConfig.of(shards=str(index.root)), {"augmentation": {"flip": True}}, "a test")
    with pytest.raises(ConfigError, match="flip: only images of classes"):
        draw_augmented_sheet(config, tmp_path / "sheet.png")


@pytest.mark.slow
def test_the_sheet_follows_from_its_seed(make_set, tmp_path):
    index = make_set({"train": [f"t{n}" for n in range(9)], "test": ["x"]})
    config = TrainConfig.of(shards=str(index.root))
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        draw_augmented_sheet(config, tmp_path / name, seed)
    one, again, other = ((tmp_path / name).read_bytes() for name in ("one", "again", "other"))
    assert one == again != other
    draw_augmented_sheet(overlay(config, {"augment": False}, "a test"), tmp_path / "off", 1)
    with Image.open(tmp_path / "one") as with_all, Image.open(tmp_path / "off") as off:
        assert off.width < with_all.width, "no change is on, so there are none to mix"


@pytest.mark.slow
def test_words_have_their_changes_beside_them_and_lines_below(make_set, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(augmented, "draw_words", lambda *all: drawn.append("words") or draw_words(*all))
    monkeypatch.setattr(augmented, "draw_lines", lambda *all: drawn.append("lines") or draw_lines(*all))
    words = make_set({"train": ["a", "b"]})
    draw_augmented_sheet(TrainConfig.of(shards=str(words.root)), tmp_path / "words.png")
    monkeypatch.setattr(augmented, "MOST_WORD_PX", 40)
    draw_augmented_sheet(TrainConfig.of(shards=str(words.root)), tmp_path / "lines.png")
    assert drawn == ["words", "lines"]
    with Image.open(tmp_path / "lines.png") as lines:
        assert lines.width < 1700 and lines.height > 17 * 40


def test_a_set_without_train_is_refused(make_set, tmp_path):
    index = make_set({"test": ["x"]})
    with pytest.raises(ShardError, match="the train split holds no sample"):
        draw_augmented_sheet(TrainConfig.of(shards=str(index.root)), tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


def test_a_damaged_image_is_named_with_what_to_do(make_set, tmp_path):
    index = make_set({"train": ["x"]})
    tar = index.tar_path(index.shards[0])
    tar.write_bytes(tar.read_bytes().replace(b"\x89PNG", b"gone"))
    with pytest.raises(ShardError, match="does not decode .* horovod-ocr verify"):
        draw_augmented_sheet(TrainConfig.of(shards=str(index.root)), tmp_path / "sheet.png")
