"""A raw folder of rendered words: the same for any number of workers, complete or without labels.tsv."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from horovod_ocr.synth.generate import SynthOptions, draw_words, image_path, synthesize
from horovod_ocr.synth.lexicon import URDU_ALPHABET, URDU_FINAL_ONLY, lexicon_words
from sharding.errors import ConfigError
from sharding.format.script.profile import build_profile


def rendered(out: Path, words: int = 30, **options) -> Path:
    options.setdefault("workers", 1)
    synthesize(SynthOptions(words, out, **options))
    return out


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "synth.json"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows_of(folder: Path) -> list[list[str]]:
    header, *rows = (folder / "labels.tsv").read_text(encoding="utf-8").splitlines()
    assert header == "path\tlabel\tsubset"
    return [row.split("\t") for row in rows]


@pytest.mark.slow
def test_same_bytes_for_one_and_two_workers(tmp_path):
    one = digests(rendered(tmp_path / "one", 300))
    assert len(one) == 301
    assert digests(rendered(tmp_path / "two", 300, workers=2)) == one


@pytest.mark.slow
def test_more_words_leave_the_first_ones_as_they_were(tmp_path):
    few, many = digests(rendered(tmp_path / "few", 20)), digests(rendered(tmp_path / "many", 40))
    del few["labels.tsv"]
    assert few.items() < many.items()


@pytest.mark.slow
def test_another_seed_makes_other_words(tmp_path):
    words = {seed: [label for _, label, _ in rows_of(rendered(tmp_path / str(seed), seed=seed))] for seed in (0, 1)}
    assert len(set(words[0]) & set(words[1])) < 3


@pytest.mark.slow
def test_labels_name_every_image_with_a_word_of_the_alphabet(tmp_path):
    rows = rows_of(rendered(tmp_path / "raw"))
    assert [path for path, _, _ in rows] == [image_path(i) for i in range(30)]
    lexicon = set(lexicon_words(build_profile("urdu")))
    for path, label, subset in rows:
        assert set(label) <= set(URDU_ALPHABET) and 1 <= len(label) <= 5
        assert subset == ("lexicon" if label in lexicon else "random")
        with Image.open(tmp_path / "raw" / path) as image:
            assert image.mode == "L" and image.format == "PNG"
            pixels = np.asarray(image, int)
            assert pixels[1:-1, 1:-1].min() < pixels.max() - 60


def test_images_lie_in_folders_of_a_thousand():
    assert image_path(123) == "images/000/000123.png"
    assert image_path(1_000) == "images/001/001000.png"
    assert image_path(1_234_567) == "images/1234/1234567.png"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_lexicon_share_is_exact_and_sets_are_disjoint(tmp_path, share):
    words = draw_words(SynthOptions(1_000, tmp_path, lexicon_share=share))
    lexicon = [word for word, subset in words if subset == "lexicon"]
    fresh = [word for word, subset in words if subset == "random"]
    assert (len(lexicon), len(fresh)) == (round(1_000 * share), 1_000 - round(1_000 * share))
    assert set(lexicon).isdisjoint(fresh) and len(set(fresh)) == len(fresh)
    assert all(set(URDU_FINAL_ONLY).isdisjoint(word[:-1]) for word in fresh)


def test_lexicon_words_come_again_only_when_all_have_come(tmp_path):
    lexicon = lexicon_words(build_profile("urdu"), 2)
    options = SynthOptions(3 * len(lexicon), tmp_path, max_letters=2, lexicon_share=1.0)
    drawn = [word for word, _ in draw_words(options)]
    rounds = [drawn[i : i + len(lexicon)] for i in range(0, len(drawn), len(lexicon))]
    assert all(sorted(words) == sorted(lexicon) for words in rounds)
    assert rounds[0] != rounds[1] != rounds[2]


@pytest.mark.slow
def test_repeated_word_is_degraded_differently_each_time(tmp_path):
    out = rendered(tmp_path / "raw", 130, max_letters=1, lexicon_share=1.0)
    pictures: dict[str, set[bytes]] = {}
    rows = rows_of(out)
    for path, label, _ in rows:
        pictures.setdefault(label, set()).add((out / path).read_bytes())
    assert len(pictures) < len(rows) == sum(map(len, pictures.values()))


def test_without_degradation_a_repeated_word_is_the_same_picture(tmp_path):
    out = rendered(tmp_path / "raw", 130, max_letters=1, lexicon_share=1.0, degrade=0)
    pictures: dict[str, set[bytes]] = {}
    for path, label, _ in rows_of(out):
        pictures.setdefault(label, set()).add((out / path).read_bytes())
    assert all(len(same) == 1 for same in pictures.values())


@pytest.mark.slow
def test_report_counts_what_is_there(tmp_path):
    seen = []
    options = SynthOptions(600, tmp_path / "raw", workers=1)
    report = synthesize(options, lambda done, total: seen.append((done, total)))
    assert (report.images, report.lexicon_images, report.random_images) == (600, 300, 300)
    assert seen == [(250, 600), (500, 600), (600, 600)]
    assert sum(report.letters.values()) == sum(len(label) for _, label, _ in rows_of(options.out))
    assert list(report.letters.values()) == sorted(report.letters.values(), reverse=True)
    assert report.images_per_s == pytest.approx(600 / report.seconds)


@pytest.mark.slow
def test_labels_are_written_last_and_never_by_a_run_that_stopped(tmp_path):
    out = tmp_path / "raw"

    def stop_half_way(done: int, total: int) -> None:
        assert not (out / "labels.tsv").exists()
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(SynthOptions(600, out, workers=1), stop_half_way)
    assert not (out / "labels.tsv").exists()
    with pytest.raises(ConfigError, match="an unfinished run of synth already; replace them with --overwrite"):
        rendered(out)
    rendered(out, 20, overwrite=True)
    assert len(list(out.rglob("*.png"))) == len(rows_of(out)) == 20


@pytest.mark.slow
def test_folder_in_use_is_refused_and_left_alone(tmp_path):
    out = rendered(tmp_path / "raw")
    before = digests(out)
    with pytest.raises(ConfigError, match="holds rendered words already"):
        rendered(out, seed=1)
    assert digests(out) == before


@pytest.mark.slow
def test_overwriting_removes_what_synth_wrote_and_nothing_else(tmp_path):
    out = rendered(tmp_path / "raw", 30)
    foreign = ["images/000/mine.png", "images/000/000000123.png", "images/scans/000001.png", "notes.txt"]
    for name in foreign:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"mine")
    rendered(out, 10, seed=5, overwrite=True)
    assert all((out / name).read_bytes() == b"mine" for name in foreign)
    fresh = digests(rendered(tmp_path / "fresh", 10, seed=5))
    assert {name: digest for name, digest in digests(out).items() if name not in foreign} == fresh


def test_folder_that_synth_did_not_write_is_never_taken(tmp_path):
    (tmp_path / "labels.tsv").write_text("path\tlabel\n")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="files that synth did not write"):
            rendered(tmp_path, overwrite=overwrite)
    assert (tmp_path / "labels.tsv").read_text() == "path\tlabel\n"
    with pytest.raises(ConfigError, match="is a file"):
        rendered(tmp_path / "labels.tsv")


@pytest.mark.slow
def test_settings_lie_beside_the_words_and_name_no_path(tmp_path):
    text = (rendered(tmp_path / "raw", seed=3) / "synth.json").read_text(encoding="utf-8")
    assert json.loads(text)["seed"] == 3
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [("words", 0), ("seed", -1), ("max_letters", 12), ("lexicon_share", 1.5), ("degrade", -0.1), ("workers", 0)],
)
def test_option_out_of_range_is_named(tmp_path, name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        SynthOptions(**{"words": 10, "out": tmp_path, name: value})


def test_unknown_profile_font_or_too_many_words_leave_no_folder_behind(tmp_path):
    out = tmp_path / "raw"
    for options, message in (
        ({"profile": "thai"}, "urdu words, not thai"),
        ({"fonts": (tmp_path / "none.ttf",)}, "cannot read the font"),
        ({"max_letters": 1, "lexicon_share": 0}, "only about"),
    ):
        with pytest.raises(ConfigError, match=message):
            rendered(out, **options)
        assert not out.exists()
