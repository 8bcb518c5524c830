"""Script, direction and letters through a whole build: what is chosen, what is told, what stays decided."""

import json
import os
from pathlib import Path

import pytest

from sharding.audit.audit import audit_source
from sharding.errors import ConfigError, SourceError
from sharding.format.index import read_index
from sharding.options import ShardOptions
from sharding.verify.repair import repair_set

HEBREW = ["שלום", "תורה", "ספר", "מים", "בית", "ילד", "אור", "דלת"]
ARABIC = ["إلى", "إسلام", "على", "علي", "مدرسة", "كتاب", "إذا", "هدى"]
OWN = 'name = "mine"\ndirection = "visual"\nletters = "abcdefghijklmnopqrstuvwxyz"\n[folds]\nq = "k"\n'


@pytest.fixture
def write_labels(tmp_path: Path, make_image):
    """A source with one image for each label."""

    def write(labels: list[str], name: str = "raw") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for number in range(len(labels)):
            (folder / f"{number}.png").write_bytes(make_image(number, (160, 64)))
        lines = "".join(f"{number}.png\t{label}\n" for number, label in enumerate(labels))
        (folder / "labels.tsv").write_text(lines, encoding="utf-8")
        return folder

    return write


def labels_in(read_packed, out: Path) -> set[str]:
    return {sample.label for sample in read_packed(out)}


def test_direction_follows_the_letters(build, write_labels, tmp_path: Path):
    report = build(write_labels(HEBREW * 3), tmp_path / "out")
    assert (report.index.profile.name, report.index.profile.direction) == ("plain", "rtl")
    assert report.index.options["profile_why"] == (
        "most letters are Hebrew, which has no profile of its own; read from right to left, as most of the letters are"
    )
    assert read_index(tmp_path / "out").profile.reading_order("שלום") == "םולש"
    asked = build(tmp_path / "raw", tmp_path / "asked", profile="plain")
    assert asked.index.profile.direction == "rtl"
    assert asked.index.options["profile_why"] == "as asked for; read from right to left, as most of the letters are"
    other = build(write_labels(["дом", "кот"] * 3, "ltr"), tmp_path / "ltr_out")
    assert (other.index.profile.name, other.index.profile.direction) == ("plain", "ltr")


def test_direction_as_asked_for(build, write_labels, tmp_path: Path):
    src, out = write_labels(HEBREW * 3), tmp_path / "out"
    report = build(src, out, direction="visual")
    assert (report.index.profile.name, report.index.profile.direction) == ("plain", "visual")
    assert read_index(out).profile.reading_order("שלום") == "שלום"
    assert build(src, out, direction="visual").already_complete
    for now, typed in (({"direction": "rtl"}, "with --direction rtl"), ({}, "without --direction")):
        with pytest.raises(ConfigError, match=f"begun with --direction visual, but is now continued {typed};"):
            build(src, out, **now)
    with pytest.raises(ConfigError, match="unknown reading direction 'up'; there are: ltr, rtl, visual"):
        build(src, tmp_path / "new", direction="up")


def test_a_profile_that_was_asked_for_is_an_option_like_any_other(build, write_labels, tmp_path: Path):
    src, out, path = write_labels(["دن", "رات"] * 4), tmp_path / "out", tmp_path / "my.toml"
    path.write_text('name = "mine"\nextends = "urdu"\n', encoding="utf-8")
    asked = {"profile": "urdu", "direction": "ltr"}
    build(src, out, **asked)
    (out / "train-000000.tar").unlink()
    assert not build(src, out, **asked).already_complete  # made again
    assert build(src, out, **asked).index.profile.direction == "ltr"
    for now, typed in (
        ({}, "without --profile and without --direction"),
        ({"profile": "urdu"}, "without --direction"),
        ({"profile": "arabic", "direction": "ltr"}, "with --profile arabic"),
        ({"profile": str(path), "direction": "ltr"}, "with --profile my.toml"),
    ):
        with pytest.raises(ConfigError, match=f"but is now continued {typed};"):
            build(src, out, **now)
    guessed = tmp_path / "guessed"
    build(src, guessed)
    assert build(src, guessed).already_complete
    with pytest.raises(ConfigError, match="begun without --profile, but is now continued with --profile urdu;"):
        build(src, guessed, profile="urdu")


def test_arabic_keeps_its_letters(build, write_labels, read_packed, tmp_path: Path):
    report = build(write_labels(ARABIC * 2), tmp_path / "out")
    assert (
        report.index.profile.name,
        report.index.profile.direction,
        report.index.counts.rejects,
        report.index.counts.folded,
    ) == ("arabic", "rtl", {}, {})
    assert labels_in(read_packed, tmp_path / "out") == set(ARABIC)


def test_plates_become_plain_and_are_all_packed(build, write_labels, tmp_path: Path):
    report = build(write_labels([f"京AB{number:03}" for number in range(40)]), tmp_path / "out")
    assert (report.index.profile.name, report.index.profile.direction, report.index.counts.rejects) == (
        "plain",
        "ltr",
        {},
    )
    assert report.index.options["profile_why"].startswith("latin would refuse 40 of 40 labels (京)")


LETTERS = ["علي", "كتاب", "کـام", "ٹھیک", "میں", "دنé", "éندی é"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_letters_that_were_changed_or_refused_are_told(build, write_labels, tmp_path: Path, workers: int):
    src = write_labels(LETTERS * 2)
    report = build(src, tmp_path / "out", profile="urdu", workers=workers)
    assert report.index.counts.folded == {"ي → ی": 2, "ك → ک": 2, "ـ → ": 2}
    assert report.index.counts.refused_letters == {"é": 6} and report.index.counts.rejects == {"unknown letters": 4}
    index = read_index(tmp_path / "out")
    assert (index.counts.folded, index.counts.refused_letters) == (
        report.index.counts.folded,
        report.index.counts.refused_letters,
    )
    again = build(src, tmp_path / "out", profile="urdu")
    assert (
        again.already_complete
        and again.index.counts.folded == report.index.counts.folded
        and again.index.options["profile_why"] == "as asked for"
    )
    audit = audit_source(ShardOptions.of(src=src, out=tmp_path / "none", profile="urdu", workers=workers))
    assert (audit.found.labels.folded, audit.found.labels.refused) == (
        report.index.counts.folded,
        report.index.counts.refused_letters,
    )
    assert audit.profile_why == report.index.options["profile_why"]


def test_what_was_counted_survives_an_interruption(build, write_labels, tmp_path: Path):
    class Stop(Exception):
        pass

    def stop(progress):
        if progress.stage == "writing":
            raise Stop

    src, out = write_labels(LETTERS * 2), tmp_path / "out"
    with pytest.raises(Stop):
        build(src, out, stop, profile="urdu")
    for image in src.glob("*.png"):  # nobody reads them again
        seen = image.stat()
        image.write_bytes(b"x" * seen.st_size)
        os.utime(image, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    report = build(src, out, profile="urdu")
    assert report.index.counts.folded == {
        "ي → ی": 2,
        "ك → ک": 2,
        "ـ → ": 2,
    } and report.index.counts.refused_letters == {"é": 6}


def test_a_reject_names_the_profile_that_has_its_letters(build, write_labels, read_list, tmp_path: Path):
    build(write_labels([*["دن"] * 4, "é ب", "京", "ê京", "a\u0007"]), tmp_path / "out", profile="urdu")
    details = {row["detail"] for row in read_list(tmp_path / "out" / "rejects.tsv")}
    assert details == {
        "é U+00E9 in 'é ب' (profile latin has it; --profile plain takes any)",
        "京 U+4EAC in '京' (--profile plain takes any)",
        "ê U+00EA 京 U+4EAC in 'ê京' (--profile plain takes any)",
        "a U+0061 U+0007 in 'a\\x07'",
    }


def test_where_no_label_is_allowed_the_letters_are_named(build, write_labels, tmp_path: Path):
    src = write_labels(HEBREW)
    with pytest.raises(SourceError, match="the profile latin refuses ו U\\+05D5 י .* \\(--profile plain takes any\\)"):
        build(src, tmp_path / "out", profile="latin")


def test_a_profile_file_is_needed_once(build, write_labels, read_packed, tmp_path: Path):
    src, out, path = write_labels(["quick", "fox"] * 4), tmp_path / "out", tmp_path / "my.toml"
    path.write_text(OWN, encoding="utf-8")
    report = build(src, out, profile=str(path))
    assert (report.index.profile.name, report.index.profile.direction, report.index.counts.folded) == (
        "mine",
        "visual",
        {"q → k": 4},
    )
    assert labels_in(read_packed, out) == {"kuick", "fox"}
    with pytest.raises(ConfigError, match="begun with --profile my.toml, but is now continued without --profile;"):
        build(src, out)
    path.unlink()
    profile = read_index(out).profile
    assert (profile.name, profile.normalise("queq"), profile.unknown("B")) == ("mine", "kuek", ("B",))
    assert json.loads((out / "index.json").read_text("utf-8"))["profile"]["own_folds"] == {"q": "k"}
    (out / "train-000000.tar").unlink()
    assert repair_set(out, workers=1).ok  # with the same profile
    assert labels_in(read_packed, out) == {"kuick", "fox"}


def test_another_content_of_a_profile_file_is_another_option(build, write_labels, tmp_path: Path):
    src, out, path = write_labels(["quick", "fox"] * 4), tmp_path / "out", tmp_path / "my.toml"
    path.write_text(OWN, encoding="utf-8")
    build(src, out, profile=str(path))
    path.write_text(OWN.replace('"k"', '"c"'), encoding="utf-8")
    with pytest.raises(ConfigError, match="begun with --profile my.toml, but is now continued with another content"):
        build(src, out, profile=str(path))
    path.write_text("name = 1", encoding="utf-8")
    with pytest.raises(ConfigError, match="my.toml: name is a text, not 1"):
        build(src, tmp_path / "new", profile=str(path))


def test_a_built_in_profile_extended_by_a_file_without_direction(build, write_labels, tmp_path: Path):
    path = tmp_path / "my.toml"
    path.write_text('name = "any"\nextends = "plain"\n[folds]\n"ם" = "מ"\n', encoding="utf-8")
    report = build(write_labels(HEBREW), tmp_path / "out", profile=str(path))
    assert (report.index.profile.name, report.index.profile.direction, report.index.counts.folded) == (
        "any",
        "rtl",
        {"ם → מ": 2},
    )


def test_thai_spellings_of_a_word_are_one_label(build, write_labels, read_packed, tmp_path: Path):
    spellings = ["น้ำ", "น\u0e49\u0e4d\u0e32", "น\u0e4d\u0e49\u0e32", "ทำ", "ท\u0e4d\u0e32", "แม่", "เเม่"]
    spellings += ["ก\u0e35\u0e48", "ก\u0e48\u0e35"]
    for name in ("thai", "plain"):
        report = build(write_labels(spellings, name), tmp_path / f"{name}_out", profile=name)
        assert report.index.counts.folded == {"ํา → ำ": 3, "เเ → แ": 1}
        assert labels_in(read_packed, tmp_path / f"{name}_out") == {"น้ำ", "ทำ", "แม่", "กี่"}
