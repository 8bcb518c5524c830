"""The sheet of augmentation shows every change, by the name and at the strength that the recipe gives it."""

from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

from horovod_ocr.config.overlay import overlay
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.augment.strengths import Augmentation
from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import ShardError
from horovod_ocr.reports import augmented
from horovod_ocr.reports.augmented import (
    MIXED,
    OFF,
    SHOWN,
    changed_image,
    columns_of,
    draw_augmented_sheet,
    draw_lines,
    draw_words,
)

CHANGES = [entry.name for entry in fields(Augmentation) if entry.name != "share"]


def test_one_column_a_change_in_the_order_of_the_settings():
    strengths = Augmentation(blur_px=1.5)
    columns = columns_of(strengths)
    assert [column.head for column in columns] == ["as it is", *CHANGES, *["all on"] * MIXED]
    notes = {column.head: column.note for column in columns}
    assert (notes["blur_px"], notes["noise"], notes["paper"]) == ("1.5", "0.08", f"off, here {SHOWN.paper:g}")
    for column in columns[1:-MIXED]:
        on = {name for name in CHANGES if getattr(column.shown, name)}
        assert on == {column.head} and column.shown.share == 1


def test_without_changes_none_are_mixed():
    columns = columns_of(OFF)
    assert len(columns) == 1 + len(CHANGES) and all(column.note.startswith("off, here") for column in columns[1:])


def test_every_change_alone_can_be_seen():
    image_HW = np.full((64, 100), 240, np.uint8)
    image_HW[12:50, 20:80] = 30
    image_HW[28:34, 30:50] = 240
    geometry = Geometry(64, (2.0,))
    plain, *cells = (
        np.asarray(changed_image(image_HW, geometry, column, SHOWN, (0, 0, 0))).astype(int)
        for column in columns_of(SHOWN)
    )
    assert plain.shape == (64, 128)
    for column, cell in zip(columns_of(SHOWN)[1:], cells, strict=True):
        assert cell.shape == plain.shape and np.abs(cell - plain).mean() > 0.5, column.head


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
