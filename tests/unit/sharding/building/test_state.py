"""A build that was interrupted, or is complete, and the same command again."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sharding.build import ShardOptions, build_shards
from sharding.errors import ConfigError, ShardError, SourceError
from sharding.progress import Progress
from sharding.system.lock import build_lock


def test_a_complete_set_is_left_alone(build, make_words, tmp_path: Path):
    src, out = make_words(80), tmp_path / "out"
    first = build(src, out)
    (out / "notes.txt").write_text("mine")
    before = {path.name: path.stat() for path in out.iterdir()}
    again = build(src, out, workers=2)
    assert again == replace(first, already_complete=True, kept_shards=len(first.index.shards))
    assert {path.name: path.stat() for path in out.iterdir()} == before


def test_a_damaged_or_missing_shard_is_mended_by_the_same_command(build, make_words, tmp_path: Path, read_set):
    src, out = make_words(80), tmp_path / "out"
    report = build(src, out, samples_per_shard=10)
    whole = read_set(out)
    (out / "train-000000.tar").unlink()
    (out / "train-000001.idx").write_bytes(b"")
    again = build(src, out, samples_per_shard=10)
    assert read_set(out) == whole
    assert again.kept_shards == len(report.index.shards) - 2


@pytest.mark.slow
def test_an_unfinished_build_goes_on_and_what_it_no_longer_names_goes(build, make_words, tmp_path: Path, read_set):
    src, out = make_words(80), tmp_path / "out"
    build(src, tmp_path / "undisturbed", samples_per_shard=10)
    build(src, out, samples_per_shard=10)
    (out / "index.json").unlink()
    (out / "build" / "index.json").unlink()
    flipped = bytearray((out / "val-000000.tar").read_bytes())
    flipped[600] ^= 1
    (out / "val-000000.tar").write_bytes(flipped)
    shutil.copy(out / "train-000000.tar", out / "train-000900.tar")
    (out / ".train-000001.tar.tmp-123").write_bytes(b"half")
    (out / "notes.txt").write_text("mine")
    report = build(src, out, samples_per_shard=10)
    assert report.kept_shards == len(report.index.shards) - 1
    (out / "notes.txt").unlink()
    assert read_set(out) == read_set(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("change", "was", "is_now"),
    [
        ({"seed": 5}, "with --seed 0", "with --seed 5"),
        ({"samples_per_shard": 7}, "without --samples-per-shard", "with --samples-per-shard 7"),
        ({"profile": "plain"}, "without --profile", "with --profile plain"),
        ({"check": "header"}, "with --check full", "with --check header"),
        ({"fractions": (0.5, 0.25, 0.25)}, "with --fractions 0.8,0.1,0.1", "with --fractions 0.5,0.25,0.25"),
        ({"split": "label"}, "without --split", "with --split label"),
        ({"group_from": "a b"}, "without --group-from", "with --group-from 'a b'"),
        ({"dedup": True}, "without --dedup", "with --dedup"),
        ({"max_label": 7}, "without --max-label", "with --max-label 7"),
        ({"image": "png", "height": 40}, "with --image keep and without --height", "with --image png and with"),
        ({"direction": "ltr", "seed": 2}, "with --seed 0 and without --direction", "with --seed 2 and with --direct"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_options_are_refused_as_they_are_typed(
    build, make_words, tmp_path: Path, read_set, change: dict, was: str, is_now: str, finished: bool
):
    src, out = make_words(40), tmp_path / "out"
    build(src, out)
    if not finished:
        (out / "index.json").unlink()
        (out / "build" / "index.json").unlink()
    before = read_set(out)
    with pytest.raises(ConfigError) as refused:
        build(src, out, **change)
    said = str(refused.value)
    assert said.startswith(f"{out} was begun {was}, but is now continued {is_now}")
    assert said.endswith(
        f"; give the same options as before, name another folder with --out, or delete the folder {out}"
    )
    assert read_set(out) == before


def test_a_set_that_was_built_before_an_option_existed_has_its_default(build, make_words, tmp_path: Path):
    src, out = make_words(40), tmp_path / "out"
    build(src, out)
    for path in out.rglob("build.json"):
        written = json.loads(path.read_text())
        del written["options"]["asked"]["max_pixels"]
        path.write_text(json.dumps(written))
    build(src, out)
    with pytest.raises(ConfigError, match="begun with --max-pixels 16000000, but is now continued with --max-pixels 9"):
        build(src, out, max_pixels=9)


def test_other_lists_of_splits_are_refused_without_their_digest(build, make_words, tmp_path: Path):
    src, out, lists = make_words(40), tmp_path / "out", tmp_path / "lists"
    lists.mkdir()
    (lists / "val.txt").write_text("images/00000.png\n")
    (lists / "train.txt").write_text("images/00001.png\n")
    build(src, out, split_lists=lists)
    (lists / "val.txt").write_text("images/00002.png\n")
    with pytest.raises(ConfigError, match="begun with --split-lists, but is now continued with another content of"):
        build(src, out, split_lists=lists)
    with pytest.raises(ConfigError, match="begun with --split-lists, but is now continued without --split-lists;"):
        build(src, out)
    unlisted = tmp_path / "unlisted"
    build(src, unlisted)
    with pytest.raises(ConfigError, match="begun without --split-lists, but is now continued with --split-lists;"):
        build(src, unlisted, split_lists=lists)


def test_a_complete_set_of_another_source_is_refused(build, make_words, tmp_path: Path, make_image):
    src, out = make_words(40), tmp_path / "out"
    build(src, out)
    (src / "images" / "00000.png").write_bytes(make_image(99, (50, 64)))
    with pytest.raises(SourceError, match="complete set of another or an older source"):
        build(src, out)


def write_beside(folder: Path, make_image, count: int) -> Path:
    """`count` images with a text beside each."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04d}.png").write_bytes(make_image(number))
        (folder / f"{number:04d}.gt.txt").write_text("دن", encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 640, 1299])
def test_a_text_that_was_corrected_beside_its_image_is_noticed(build, make_image, tmp_path: Path, number: int):
    src, out = write_beside(tmp_path / "raw", make_image, 1300), tmp_path / "out"
    build(src, out)
    assert build(src, out).already_complete
    (src / f"{number:04d}.gt.txt").write_text("رات", encoding="utf-8")
    with pytest.raises(SourceError, match="complete set of another or an older source"):
        build(src, out)


def test_a_text_or_image_that_changed_is_read_again_by_an_unfinished_build(
    build, make_image, read_packed, tmp_path: Path
):
    src, out = write_beside(tmp_path / "raw", make_image, 60), tmp_path / "out"
    with pytest.raises(Interrupted):
        build(src, out, interrupt_at("writing"))
    (src / "0007.gt.txt").write_text("رات", encoding="utf-8")
    (src / "0009.png").write_bytes(make_image(1009, (50, 64)))
    build(src, out)
    labels = {sample.image: sample.label for sample in read_packed(out)}
    assert labels[make_image(7)] == "رات" and labels[make_image(1009, (50, 64))] == "دن"
    assert make_image(9) not in labels and len(labels) == 60


def test_folders_that_are_not_ours_are_refused(build, make_words, tmp_path: Path):
    src = make_words(5)
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train-000000.tar").write_bytes(b"")
    (tmp_path / "damaged" / "build").mkdir(parents=True)
    (tmp_path / "damaged" / "build" / "build.json").write_text("{")
    for name, sentence in (
        ("file", "is a file; name a folder with --out"),
        ("file/below", "cannot be made"),
        ("other", "holds train-000000.tar but no build/build.json"),
        ("damaged", "build.json is damaged"),
    ):
        with pytest.raises(ShardError, match=sentence):
            build(src, tmp_path / name)


def test_a_complete_set_keeps_nothing_of_what_was_read(build, make_words, tmp_path: Path):
    src, out, scratch = make_words(30), tmp_path / "out", tmp_path / "scratch"
    build(src, out, scratch=scratch)
    assert sorted(path.name for path in (out / "build").iterdir()) == [
        "build.json",
        "catalogue.json",
        "entries.bin",
        "index.json",
        "members.bin",
        "order.bin",
        "texts.bin",
    ]
    assert list(scratch.iterdir()) == []
    spool = out / "build" / "spool"  # killed between the index and the end: it is as large as the set
    spool.mkdir()
    (spool / "000000000.spool").write_bytes(b"much")
    assert build(src, out).already_complete
    assert not spool.exists()


def test_the_index_is_restored(build, make_words, tmp_path: Path, read_set):
    src, out = make_words(30), tmp_path / "out"
    build(src, out)
    whole = read_set(out)
    for damage in (b"", b"{", b"[]", None):
        (out / "index.json").unlink() if damage is None else (out / "index.json").write_bytes(damage)
        assert build(src, out).already_complete
        assert read_set(out) == whole


def test_files_that_a_killed_lock_left_behind_go_and_those_of_now_stay(build, make_words, tmp_path: Path):
    src, own = make_words(5), tmp_path / "out" / "build"
    own.mkdir(parents=True)
    for name, age_s in ((".lock.0123456789abcdef", 4000), (".lock.fedcba9876543210", 60), (".lock.mine", 4000)):
        (own / name).write_bytes(b"{}")
        now_s = (own / name).stat().st_mtime
        os.utime(own / name, (now_s - age_s, now_s - age_s))
    build(src, tmp_path / "out")
    assert {path.name for path in own.glob(".lock*")} == {".lock.fedcba9876543210", ".lock.mine"}


def test_a_build_tells_when_it_takes_over_the_lock_of_a_dead_one(make_words, tmp_path: Path):
    src, lock = make_words(5), tmp_path / "out" / "build" / "lock"
    with build_lock(lock, "horovod-ocr shard"):
        owner = json.loads(lock.read_bytes())
    lock.write_text(json.dumps(owner | {"started": owner["started"] - 1}))  # an older process with this one's number
    told: list[str] = []
    build_shards(ShardOptions.of(src=src, out=tmp_path / "out", workers=1), tell=told.append)
    assert len(told) == 1 and told[0].startswith(f"{lock}: its owner is gone")


class Interrupted(Exception):
    pass


def interrupt_at(stage: str):
    def interrupt(progress: Progress) -> None:
        if progress.stage == stage:
            raise Interrupted

    return interrupt


def stages(build, src, out, **options) -> list[str]:
    """The stages of a build, each once."""
    calls: list[str] = []
    build(src, out, lambda progress: calls.append(progress.stage), **options)
    return list(dict.fromkeys(calls))


@pytest.mark.parametrize("stage", ["reading", "writing"])
def test_the_listing_is_not_made_again_where_the_source_is_as_it_was(
    build, make_words, tmp_path: Path, read_set, stage: str
):
    src, out = make_words(60), tmp_path / "out"
    build(src, tmp_path / "quiet", samples_per_shard=10)
    with pytest.raises(Interrupted):
        build(src, out, interrupt_at(stage), samples_per_shard=10)
    assert stages(build, src, out, samples_per_shard=10) == ["reading", "writing"]
    assert read_set(out) == read_set(tmp_path / "quiet")


@pytest.mark.parametrize("change", ["more images", "other labels"])
@pytest.mark.parametrize("stage", ["listing", "reading", "writing"])
def test_a_source_that_changed_before_the_set_was_complete_is_listed_anew(
    build, make_words, make_image, tmp_path: Path, read_set, stage: str, change: str
):
    src, out = make_words(60), tmp_path / "out"
    with pytest.raises(Interrupted):
        build(src, out, interrupt_at(stage), samples_per_shard=10)
    rows = (src / "labels.tsv").read_text("utf-8").splitlines(keepends=True)
    if change == "more images":
        for number in range(60, 90):
            (src / f"images/{number:05d}.png").write_bytes(make_image(number))
            rows.append(f"images/{number:05d}.png\tسال\n")
    else:
        rows[20:] = [row.split("\t")[0] + "\tرات\n" for row in rows[20:]]
    (src / "labels.tsv").write_text("".join(rows), encoding="utf-8")
    assert stages(build, src, out, samples_per_shard=10) == ["listing", "reading", "writing"]
    build(src, tmp_path / "quiet", samples_per_shard=10)
    assert read_set(out) == read_set(tmp_path / "quiet")


def test_another_scratch_folder_leaves_nothing_in_the_first(build, make_words, tmp_path: Path, read_set):
    src, out, scratch = make_words(60), tmp_path / "out", tmp_path / "scratch"
    build(src, tmp_path / "quiet")
    with pytest.raises(Interrupted):
        build(src, out, interrupt_at("writing"))
    assert list((out / "build" / "spool").iterdir())
    build(src, out, scratch=scratch)
    assert not (out / "build" / "spool").exists()
    assert read_set(out) == read_set(tmp_path / "quiet")


def test_what_a_killed_reader_left_goes_when_the_build_goes_on(build, make_words, tmp_path: Path):
    src, out = make_words(60), tmp_path / "out"
    with pytest.raises(Interrupted):
        build(src, out, interrupt_at("reading"))
    left = out / "build" / "spool" / ".000000000.spool.tmp-99"
    left.write_bytes(b"half")
    with pytest.raises(Interrupted):
        build(src, out, interrupt_at("reading"))
    assert not left.exists()
    assert (out / "build" / "spool" / "000000000.spool").exists()


def test_killed_between_the_index_and_its_copy_the_set_is_complete(build, make_words, tmp_path: Path, read_set):
    src, out = make_words(60), tmp_path / "out"
    build(src, out)
    whole = read_set(out)
    (out / "build" / "index.json").unlink()
    again = build(src, out)
    assert again.kept_shards == len(again.index.shards)
    assert read_set(out) == whole
    assert build(src, out).already_complete


def test_a_build_of_an_earlier_version_is_not_continued(build, make_words, tmp_path: Path, read_set):
    """Its options had other names."""
    src, out = make_words(5), tmp_path / "out"
    build(src, out)
    state = out / "build" / "build.json"
    values = json.loads(state.read_text("utf-8"))
    values["options"] = values["options"]["asked"]
    state.write_text(json.dumps(values), "utf-8")
    before = read_set(out)
    with pytest.raises(ShardError, match="build.json is of another version of this program; delete the folder .*out"):
        build(src, out)
    assert read_set(out) == before


def test_a_damaged_state_is_said(build, make_words, tmp_path: Path):
    src, out = make_words(5), tmp_path / "out"
    no_options = b'{"options": 1, "sources": 2, "listing": 3, "images": 4, "entries": 5}'
    for content in (b"", b"{}", b"[]", b"\xff", no_options):
        (out / "build").mkdir(parents=True, exist_ok=True)
        (out / "build" / "build.json").write_bytes(content)
        with pytest.raises(ShardError, match=r"build.json is damaged; delete the folder .*out, or name another"):
            build(src, out)
