"""Marks: what was listed and is as it was says so; anything else does not."""

import json
import os

import pytest

from sharding.errors import SourceError
from sharding.layouts import marks
from sharding.layouts.marks import are_unchanged, mark_files


def test_size_and_mtime_of_a_file_count(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text("1")
        os.utime(tmp_path / name, ns=(7, 7))
    before = mark_files(tmp_path, ["a", "b"])
    assert before == [["a", 1, 7], ["b", 1, 7]]
    assert are_unchanged(tmp_path, json.loads(json.dumps(before)))
    (tmp_path / "b").write_text("22")
    os.utime(tmp_path / "b", ns=(7, 7))
    assert not are_unchanged(tmp_path, before)
    before = mark_files(tmp_path, ["a", "b"])
    os.utime(tmp_path / "b", ns=(8, 8))
    assert not are_unchanged(tmp_path, before)


def test_what_is_gone_or_was_never_marked_is_no_listing(tmp_path):
    (tmp_path / "a").touch()
    before = mark_files(tmp_path, ["a"])
    (tmp_path / "a").unlink()
    assert not are_unchanged(tmp_path, before)
    assert not are_unchanged(tmp_path, [])
    with pytest.raises(SourceError, match="a cannot be read .No such file.*; put it back"):
        mark_files(tmp_path, ["a"])


@pytest.mark.parametrize("position", [0, 5, 19])
def test_many_marks_are_asked_for_by_several_threads(tmp_path, monkeypatch, position):
    monkeypatch.setattr(marks, "_TOGETHER", 3)
    names = [f"{number}" for number in range(20)]
    for name in names:
        (tmp_path / name).mkdir()
    before = [[name, 0, os.stat(tmp_path / name).st_mtime_ns] for name in names]
    assert are_unchanged(tmp_path, before)
    os.utime(tmp_path / names[position], ns=(1, 1))
    assert not are_unchanged(tmp_path, before)


def test_names_that_are_no_utf8(tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xe9"
    os.mkdir(folder)
    before = json.loads(json.dumps([[os.fsdecode(b"\xe9"), 0, os.stat(folder).st_mtime_ns]]))
    assert are_unchanged(tmp_path, before)
