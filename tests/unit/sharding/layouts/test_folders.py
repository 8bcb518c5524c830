"""The walk: every file once, in one order, whatever the links; few folders in memory at a time."""

import errno
import os
import tracemalloc
from contextlib import contextmanager

import pytest

from sharding.errors import SourceError
from sharding.layouts.folders import is_image, scan_folders


def listed(root) -> list[bytes]:
    return [folder.prefix + name for folder in scan_folders(os.fsencode(root)) for name in folder.files]


def test_every_file_once_and_always_in_the_same_order(write):
    names = [f"{a}/{b}/{c}.png" for a in "xyz" for b in "123" for c in "ab"] + ["x/1.txt", "top.png", "name.png/a"]
    src = write(dict.fromkeys(names, b""))
    found = listed(src)
    assert sorted(found) == sorted(name.encode() for name in names)
    assert all(listed(src) == found for _ in range(5))
    assert found[0] == b"top.png"


def test_links_are_followed_but_never_round(write, tmp_path):
    src = write({"a/1.png": b"", "b/2.png": b""})
    (tmp_path / "far").mkdir()
    (tmp_path / "far/3.png").write_bytes(b"")
    (src / "a/up").symlink_to(src)
    (src / "a/self").symlink_to(src / "a")
    (src / "a/beside").symlink_to(src / "b")
    (src / "b/beside").symlink_to(src / "a")
    (src / "far").symlink_to(tmp_path / "far")
    (src / "link.png").symlink_to(tmp_path / "far/3.png")
    (src / "broken.png").symlink_to(tmp_path / "nowhere")
    (src / "loop.png").symlink_to("loop.png")
    (src / "b/loop").symlink_to(src / "b/loop")
    assert sorted(listed(src)) == [
        b"a/1.png",
        b"a/beside/2.png",
        b"a/beside/loop",
        b"b/2.png",
        b"b/beside/1.png",
        b"b/loop",
        b"broken.png",
        b"far/3.png",
        b"link.png",
        b"loop.png",
    ]


def test_a_folder_that_cannot_be_listed(tmp_path):
    with pytest.raises(SourceError, match="gone cannot be listed .No such file"):
        listed(tmp_path / "gone")


def test_names_that_are_no_utf8(tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xe9"
    os.mkdir(folder)
    open(folder + b"/\xff.png", "wb").close()
    assert listed(tmp_path) == [b"\xe9/\xff.png"]


@pytest.mark.slow
def test_only_a_few_folders_are_held(tmp_path):
    for folder in range(60):
        (tmp_path / f"{folder:03d}").mkdir()
        for name in range(60):
            (tmp_path / f"{folder:03d}/{name:040d}.png").touch()
    tracemalloc.start()
    count = sum(len(folder.files) for folder in scan_folders(os.fsencode(tmp_path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3_600
    assert peak < 40 * 60 * 150, "more than 40 folders of names at once"


def test_a_walk_may_be_left_early(write):
    walk = scan_folders(os.fsencode(write({f"{n}/1.png": b"" for n in range(50)})))
    assert next(walk).path == b""
    walk.close()


def test_a_folder_server_that_is_away_is_no_link_that_leads_nowhere(write, monkeypatch):
    src = write({"a.png": b""})

    class Away:
        name = b"a.png"

        def is_dir(self):
            raise OSError(errno.ESTALE, "away")

    @contextmanager
    def scandir(path):
        yield [Away()]

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SourceError, match="cannot be listed .away"):
        listed(src)


@pytest.mark.parametrize(
    "name", [b"a.png", b"a.JPG", b"a.b.jpeg", b"a.webp", b"a.bmp", b"a.tif", b"a.TIFF", b"a.jfif", b"a.GIF"]
)
def test_images_by_their_suffix(name):
    assert is_image(name)
    assert not is_image(name + b".txt")
    assert not is_image(name.replace(b".", b""))


def test_shard_sets_below_the_source_are_left_out_and_nothing_else_named_build(write):
    files = (
        "a/1.png",
        "out/train-000000.tar",
        "out/sheet.png",
        "out/build/entries.bin",
        "b/out/sheet.png",
        "b/out/build/entries.bin",
        "c/build/2.png",
        "c/3.png",
    )
    src = write(dict.fromkeys(files, b""))
    assert listed(src) == [b"a/1.png", b"c/3.png", b"c/build/2.png"]
    assert [folder.path for folder in scan_folders(os.fsencode(src), b"out")] == []
    assert b"sheet.png" in listed(src / "out")  # unless it is asked for
