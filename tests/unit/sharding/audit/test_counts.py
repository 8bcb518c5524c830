"""The letters, scripts and file formats of an audited source are counted sample by sample."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sharding.audit.audit import audit_source
from sharding.audit.counts import count_formats, count_letters, count_scripts, likely_slips, rare_letters
from sharding.audit.result import Audit
from sharding.audit.set_stats import RARE_BELOW
from sharding.options import ShardOptions

WORDS = ["دن", "رات", "سال", "شہر", "گھر"] * 30


@pytest.fixture
def audit_of(tmp_path: Path, make_image) -> Callable[..., Audit]:
    """labels -> the audit of a folder with an image for each of them."""

    def audit(labels: list[str], suffixes: dict[int, str] | None = None, **options) -> Audit:
        folder = tmp_path / f"raw{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        names = [f"{number}.{(suffixes or {}).get(number, 'png')}" for number in range(len(labels))]
        for number, name in enumerate(names):
            (folder / name).write_bytes(make_image(number, (96 + number // 200, 64), suffix=name.split(".")[1]))
        lines = [f"{name}\t{label}\n" for name, label in zip(names, labels, strict=True)]
        (folder / "labels.tsv").write_text("".join(lines), "utf-8")
        return audit_source(ShardOptions.of(src=folder, out=Path("never"), workers=1, **options))

    return audit


def test_letters_are_those_of_samples_and_the_rare_ones_are_named(audit_of):
    audit = audit_of([*WORDS, "ندی", "abc"])
    counts = count_letters(audit)
    assert {letter: count.in_all for letter, count in counts.items()} == Counter("".join(WORDS) + "ندی")
    assert list(counts) == sorted(counts) and all(count.in_train <= count.in_all for count in counts.values())
    assert rare_letters(audit) == [letter for letter, count in counts.items() if count.in_train < RARE_BELOW]
    assert "ی" in rare_letters(audit)


def test_scripts_are_those_of_all_labels_as_they_were_written(audit_of):
    assert count_scripts(audit_of([*WORDS, "рa1."])) == {"arabic": len("".join(WORDS)), "cyrillic": 1, "latin": 1}


def test_formats_are_counted_with_what_is_converted(audit_of):
    formats = count_formats(audit_of(WORDS, {0: "bmp", 1: "bmp", 2: "jpg"}))
    assert formats["PNG"] == (147, 0) and formats["BMP"] == (2, 2) and formats["JPEG"].images == 1


def test_a_letter_that_is_far_rarer_than_its_look_alike_may_be_a_slip(audit_of):
    words = ["lamp lit"] * 60
    assert [pair[:2] for pair in likely_slips(audit_of([*words, "1amp"], profile="latin"))] == [("1", "l")]
    assert likely_slips(audit_of([*words, *["1amp"] * 9], profile="latin")) == []
