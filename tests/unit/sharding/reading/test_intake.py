"""The one reading of the source: what has become of an image since it was listed is a reject, never a crash."""

import os
import shutil
import socket
from pathlib import Path
from unittest.mock import patch

import pytest

from sharding.errors import ShardError
from sharding.format.idx import digest_of
from sharding.layouts import files
from sharding.progress import Progress
from sharding.reading import intake
from sharding.reading.intake import range_size


def test_ranges_are_few_but_small():
    assert range_size(1) == range_size(5000) == 512
    assert range_size(35_000_000) == 16_384
    assert -(-35_000_000 // range_size(35_000_000)) < 2500


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(path.parent, os.O_RDONLY)  # a socket's path has at most 108 letters
        server.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)


def become_circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def become_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone.png")


def become_unreadable(path: Path) -> None:
    path.chmod(0)


def become_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def become_film(path: Path) -> None:
    os.truncate(path, files.MAX_IMAGE_BYTES + 1)


FATES = {
    become_folder: ("unreadable file", "Is a directory"),
    become_fifo: ("empty file", ""),
    become_socket: ("unreadable file", "No such device or address"),
    become_circle: ("unreadable file", "Too many levels of symbolic links"),
    become_link_to_nothing: ("missing image", ""),
    become_half: ("damaged image", None),
    become_film: ("too many pixels", "the file has more than"),
    lambda path: path.write_bytes(b""): ("empty file", ""),
    lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"): ("damaged image", None),
    lambda path: path.write_bytes(b"text"): ("not an image", None),
    Path.unlink: ("missing image", ""),
}
if os.geteuid() != 0:  # root reads everything
    FATES[become_unreadable] = ("unreadable file", "Permission denied")


@pytest.mark.parametrize("layout", ["labels", "beside"])
def test_whatever_becomes_of_an_image_after_the_listing_is_a_reject(
    build, read_packed, read_list, make_words, make_image, tmp_path: Path, monkeypatch, layout: str
):
    monkeypatch.setattr(files, "MAX_IMAGE_BYTES", 1 << 20)
    src, out, wanted = make_words(40), tmp_path / "out", {}
    images = sorted((src / "images").iterdir())
    if layout == "beside":
        (src / "labels.tsv").unlink()
        for path in images:
            path.with_suffix(".txt").write_text("دن", encoding="utf-8")

    def disturb(progress: Progress) -> None:
        if progress.stage != "listing":
            return
        for path, (change, why) in zip(images, FATES.items(), strict=False):
            change(path)
            wanted[f"images/{path.name}"] = why
        images[30].write_bytes(make_image(77))  # another good image is taken as it is

    report = build(src, out, disturb)
    assert report.index.options["layout"] == layout
    rejects = {row["path"]: (row["reason"], row["detail"]) for row in read_list(out / "rejects.tsv")}
    assert rejects.keys() == wanted.keys()
    assert len(rejects) == len(FATES)
    for name, (reason, detail) in rejects.items():
        assert reason == wanted[name][0], name
        assert wanted[name][1] is None or detail.startswith(wanted[name][1]), name
    digests = {digest_of(sample.image) for sample in read_packed(out)}
    assert len(digests) == sum(report.index.counts.totals.values()) == 40 - len(FATES)
    assert digest_of(make_image(77)) in digests


def test_texts_that_are_gone_or_folders_are_rejects(build, read_list, make_image, tmp_path: Path):
    src, out = tmp_path / "raw", tmp_path / "out"
    src.mkdir()
    for number in range(6):
        (src / f"{number}.png").write_bytes(make_image(number))
        (src / f"{number}.gt.txt").write_text("دن", encoding="utf-8")

    def disturb(progress: Progress) -> None:
        if progress.stage == "listing":
            (src / "1.gt.txt").unlink()
            become_folder(src / "2.gt.txt")
            become_fifo(src / "3.gt.txt")
            shutil.copy(src / "1.png", src / "7.png")  # not listed: no input of this build

    build(src, out, disturb, profile="urdu")
    assert {row["path"]: row["reason"] for row in read_list(out / "rejects.tsv")} == {
        "1.png": "no label",
        "2.png": "unreadable file",
        "3.png": "empty label",
    }


@pytest.mark.slow
def test_a_range_that_was_read_is_kept_and_a_damaged_one_is_read_again(
    build, make_words, read_set, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(intake, "_FEWEST_ENTRIES", 1)
    src, out = make_words(160), tmp_path / "out"
    build(src, tmp_path / "quiet", samples_per_shard=20)

    class Interrupted(Exception):
        pass

    def interrupt(progress: Progress) -> None:
        if progress.stage == "reading" and progress.done == 80:
            raise Interrupted

    with pytest.raises(Interrupted):
        build(src, out, interrupt, samples_per_shard=20)
    spools = sorted((out / "build" / "spool").iterdir())
    assert len(spools) == 8
    spools[3].write_bytes(spools[3].read_bytes()[:-1])
    before = {path: path.stat().st_mtime_ns for path in spools}
    after = {}

    def look(progress: Progress) -> None:
        if progress.stage == "writing" and not after:
            after.update({path: path.stat().st_mtime_ns for path in spools})

    calls: list[str] = []
    build(src, out, lambda progress: (look(progress), calls.append(progress.stage)), samples_per_shard=20)
    assert "listing" not in calls  # the catalogue was whole
    assert [path for path in spools if after[path] != before[path]] == [spools[3]]
    assert read_set(out) == read_set(tmp_path / "quiet")


@pytest.mark.slow
@pytest.mark.parametrize("smaller", ["before", "after"])
def test_ranges_of_another_size_are_read_again(build, make_words, read_set, tmp_path: Path, smaller: str):
    """As another version of the program may have cut them."""
    src, out = make_words(160), tmp_path / "out"
    (src / "images" / "00007.png").write_bytes(b"")
    build(src, tmp_path / "quiet", samples_per_shard=20)

    def interrupt(progress: Progress) -> None:
        if progress.stage == "writing":
            raise InterruptedError

    for time in ("before", "after"):
        with patch.object(intake, "_FEWEST_ENTRIES", 1 if time == smaller else 512):
            if time == "after":
                build(src, out, samples_per_shard=20)
            else:
                with pytest.raises(ShardError):  # as any OSError
                    build(src, out, interrupt, samples_per_shard=20)
    assert read_set(out) == read_set(tmp_path / "quiet")
