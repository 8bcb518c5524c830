"""The pictures of an evaluation."""

from horovod_ocr.data.store import open_store
from horovod_ocr.reports import score
from horovod_ocr.reports.score import draw_pictures

CLASSES = ("NORMAL", "PNEUMONIA")
REPORT = {
    "kind": "classes",
    "run": "xray",
    "step": 3,
    "split": "test",
    "classes": list(CLASSES),
    "confusion": [[2, 1], [0, 2]],
    "worst": [{"label": "NORMAL", "reading": "PNEUMONIA", "confidence": 0.981, "shard": "test-000000", "row": 1}],
}


def test_a_mistake_is_drawn_with_its_label_and_what_was_read(make_set, tmp_path, monkeypatch):
    index = make_set({"test": ["0", "0", "0", "1", "1"]}, kind="classes", classes=CLASSES)
    drawn = []
    monkeypatch.setattr(score, "draw_sheet", lambda *given, **named: drawn.append((*given, named["remarks"])))
    pictures = draw_pictures(REPORT, open_store(str(index.root)), tmp_path)
    assert pictures == [tmp_path / "confusion.png", tmp_path / "worst.png"]
    ((samples, path, remarks),) = drawn
    assert path == pictures[1] and [label for _, label in samples] == ["NORMAL"]
    assert remarks == ["read PNEUMONIA, 98%"]


def test_pictures_of_an_earlier_evaluation_do_not_stay(make_set, tmp_path):
    index = make_set({"test": ["0", "1"]}, kind="classes", classes=CLASSES)
    store = open_store(str(index.root))
    assert (tmp_path / "worst.png") in draw_pictures(REPORT, store, tmp_path) and (tmp_path / "worst.png").exists()
    draw_pictures(REPORT | {"worst": []}, store, tmp_path)
    assert not (tmp_path / "worst.png").exists() and (tmp_path / "confusion.png").exists()
