"""Defaults < recipe < horovod-ocr.toml < command line."""

from dataclasses import fields, replace
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

from horovod_ocr.config.recipe import recipe_names
from horovod_ocr.config.settings import (
    ShardSettings,
    check_config,
    default_recipe,
    load_config,
    load_shard_options,
    overlay,
    parse_fractions,
    parse_settings,
    table_of_settings,
    with_settings,
)
from horovod_ocr.errors import ConfigError
from sharding.build import build_shards
from sharding.format.index import read_index, write_index
from sharding.options import ShardOptions
from sharding.reading.check import Limits


def test_each_source_goes_before_the_one_below(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text("lr = 1e-3\nsteps = 5\nglobal_batch = 8\n[model_options]\nwidth = 1.0\n")
    (tmp_path / "horovod-ocr.toml").write_text(
        "[train]\nsteps = 6\nglobal_batch = 16\n[train.model_options]\nhidden = 7\n"
    )
    config = load_config(str(recipe), {"global_batch": 32}, tmp_path)
    assert (config.seed, config.lr, config.steps, config.global_batch) == (0, 1e-3, 6, 32)
    assert config.model_options == {"width": 1.0, "hidden": 7}


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_and_says_its_command(name, tmp_path):
    assert load_config(name, {}, tmp_path).recipe == name
    text = (resources.files("horovod_ocr") / "recipes" / f"{name}.toml").read_text("utf-8")
    assert "horovod-ocr train" in text.split("\n\n")[0]


def test_a_byte_order_mark_is_no_part_of_a_file_of_settings(tmp_path):
    (tmp_path / "mine.toml").write_text("# für uns\nlr = 1e-3\n", "utf-8-sig")
    (tmp_path / "horovod-ocr.toml").write_text("[train]\nsteps = 6\n", "utf-8-sig")
    config = load_config(str(tmp_path / "mine.toml"), {}, tmp_path)
    assert (config.lr, config.steps) == (1e-3, 6)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[train]\nsteps = 6\n".encode("utf-16"), "horovod-ocr.toml: this is UTF-16, or no text at all; save it"),
        ("[train]\n# f\u00fcr uns\n".encode("latin-1"), "horovod-ocr.toml, line 2: this is not UTF-8; save the"),
        (b"[train\n", "horovod-ocr.toml: not TOML: "),
    ],
)
def test_a_file_of_settings_that_cannot_be_read_is_one_sentence(tmp_path, content, sentence):
    (tmp_path / "horovod-ocr.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=sentence):
        load_config("", {}, tmp_path)


def test_a_nested_setting_of_the_command_line(tmp_path):
    given = parse_settings(["augmentation.noise=0", "model_options.width=0.25", "run=my run"])
    config = load_config("", given, tmp_path)
    assert config.augmentation.noise == 0.0 and config.model_options == {"width": 0.25} and config.run == "my run"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"globl_batch": 3}, "no setting 'globl_batch'; did you mean 'global_batch'"),
        ({"steps": "ten"}, "steps is a int, not 'ten'"),
        ({"augmentation": {"nois": 1}}, "no setting 'nois'; did you mean 'noise'"),
        ({"lr": -1.0}, "lr must be a number above 0"),
        ({"lr": float("nan")}, "lr must be a number above 0"),
        ({"run": "runs/it"}, "run is a name without folders, not 'runs/it'"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 1 << 63}, "seed must be below 2 \\*\\* 63"),
        ({"precision": "fp8"}, "precision is auto"),
        ({"warmup_share": 1.5}, "warmup_share is a fraction"),
        ({"epochs": 0.0}, "one of them must be more than 0"),
    ],
)
def test_what_is_wrong_is_named(values, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        load_config("", values, tmp_path)


def test_unknown_recipes_files_and_tables(tmp_path):
    with pytest.raises(ConfigError, match="no recipe 'klingon'; there are: demo"):
        load_config("klingon", {}, tmp_path)
    with pytest.raises(ConfigError, match="no file"):
        load_config(str(tmp_path / "no.toml"), {}, tmp_path)
    with pytest.raises(ConfigError, match="--set lr: write it as key=value"):
        parse_settings(["lr"])
    (tmp_path / "horovod-ocr.toml").write_text("[shard]\nscr = 'raw'\n")
    with pytest.raises(ConfigError, match="no setting 'scr'; did you mean 'src'"):
        overlay(ShardSettings(), table_of_settings("shard", tmp_path), "x")
    (tmp_path / "horovod-ocr.toml").write_text("[trian]\n")
    with pytest.raises(ConfigError, match=r"'trian' is no table of settings; there are: \[shard\], \[train\]"):
        table_of_settings("shard", tmp_path)
    (tmp_path / "horovod-ocr.toml").write_text("[shard\n")
    with pytest.raises(ConfigError, match="not TOML"):
        table_of_settings("shard", tmp_path)
    with pytest.raises(ConfigError, match="--set a.b=2: a has a value already"):
        parse_settings(["a=1", "a.b=2"])


def test_a_config_is_frozen(tmp_path):
    with pytest.raises(AttributeError):
        check_config(load_config("", {}, tmp_path)).lr = 1.0


def test_every_option_of_the_sharder_has_its_setting(tmp_path):
    assert load_shard_options({}, tmp_path) == ShardOptions(src=(Path("raw"),), out=Path("shards"))
    others = {"height_px": "height", "limits": "max_label"}
    named = {others.get(entry.name, entry.name) for entry in fields(ShardOptions)}
    assert named == {entry.name for entry in fields(ShardSettings)}
    values = {
        "src": ["a", "b"],
        "out": "c",
        "profile": "thai",
        "direction": "rtl",
        "layout": "names",
        "images": "i",
        "label_from_name": "(x)",
        "seed": 3,
        "samples_per_shard": 7,
        "workers": 2,
        "check": "header",
        "split": "file",
        "group_from": "g",
        "split_lists": "l",
        "fractions": [0.5, 0.5, 0],
        "dedup": True,
        "max_label": 9,
        "image": "jpeg",
        "height": 32,
        "scratch": "s",
    }
    assert values.keys() == named
    (tmp_path / "horovod-ocr.toml").write_text("[shard]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in values.items()))
    asked_for = ShardOptions(
        src=(Path("a"), Path("b")),
        out=Path("c"),
        profile="thai",
        direction="rtl",
        images=Path("i"),
        seed=3,
        samples_per_shard=7,
        workers=2,
        layout="names",
        label_from_name="(x)",
        check="header",
        split="file",
        group_from="g",
        split_lists=Path("l"),
        fractions=(0.5, 0.5, 0.0),
        dedup=True,
        image="jpeg",
        height_px=32,
        limits=Limits(max_label=9),
        scratch=Path("s"),
    )
    assert load_shard_options({}, tmp_path) == asked_for
    assert all(getattr(asked_for, entry.name) != entry.default for entry in fields(ShardOptions))


def toml(value: object) -> str:
    return repr(value).lower() if isinstance(value, bool) else repr(value)


def test_the_command_line_goes_before_the_file_of_the_sharder(tmp_path):
    (tmp_path / "horovod-ocr.toml").write_text('[shard]\nsrc = "one"\nsplit = "file"\ndedup = true\nseed = 4\n')
    options = load_shard_options({"src": ["x", "y"], "group_from": "p", "dedup": False, "seed": None}, tmp_path)
    assert options.src == (Path("x"), Path("y")) and options.seed == 4 and not options.dedup
    assert (options.split, options.group_from) == (None, "p")  # what decides the split is chosen as one


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"src": []}, "src holds values of type str"),
        ({"src": ["raw", 3]}, "src holds values of type str"),
        ({"fractions": ["0.8"]}, "fractions holds values of type float"),
        ({"fractions": [0.8, 0.2]}, "fractions are three numbers, of train, val and test"),
        ({"fractions": [float("nan"), 0.5, 0.5]}, "fractions are three numbers"),
        ({"fractions": [1.5, -0.5, 0]}, "fractions are three numbers"),
        ({"max_label": -1}, "max_label must be at least 0"),
        ({"dedup": 1}, "dedup is a bool"),
        ({"max_labels": 1}, "no setting 'max_labels'; did you mean 'max_label'"),
    ],
)
def test_what_is_wrong_for_the_sharder_is_named(values, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        load_shard_options(values, tmp_path)


def test_fractions_of_the_command_line():
    assert parse_fractions("0.8, 0.1,0.1") == (0.8, 0.1, 0.1)
    with pytest.raises(ConfigError, match="write three numbers, such as 0.8,0.1,0.1"):
        parse_fractions("0.8;0.1")


@pytest.mark.parametrize(
    ("profile", "direction", "letters", "recipe"),
    [
        ("urdu", None, "بات" * 10, "urdu-lines"),
        ("urdu", None, "بات", "urdu"),
        ("latin", None, "a line of some words", "lines"),
        ("latin", None, "word", ""),
        ("plain", "rtl", "שורה של כמה מילים", "lines"),
        ("plain", "rtl", "מילה", ""),
        ("thai", None, "ภาษาไทย", ""),
        ("thai", None, "ภาษาไทย" * 3, "lines"),
        ("arabic", None, "كلمة", ""),
        ("arabic", None, "كلمة " * 4, "lines"),
    ],
)
def test_every_script_has_a_recipe_for_words_and_for_lines(tmp_path, profile, direction, letters, recipe):
    labels = [letters.strip(), letters.strip(), letters[:2]]  # what most of them are decides
    for number, label in enumerate(labels):
        Image.new("L", (640 + number, 64), 255).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.gt.txt").write_text(label, "utf-8")
    out = tmp_path / "shards"
    build_shards(ShardOptions(src=tmp_path, out=out, profile=profile, direction=direction, workers=1))
    assert default_recipe(str(out), tmp_path) == recipe
    assert load_config(recipe, {}, tmp_path).model == "crnn"


def test_a_profile_file_that_is_called_like_a_recipe_does_not_choose_it(word_shards, tmp_path):
    index = read_index(word_shards)
    mine = replace(index, root=tmp_path, profile=replace(index.profile, name="demo"))
    write_index(mine)
    assert default_recipe(str(tmp_path), tmp_path) == ""


def test_a_setting_that_is_given_twice_with_other_values_is_refused():
    assert with_settings({"lr": 0.5, "run": "a"}, ["seed=3", "run=a"]) == {"lr": 0.5, "run": "a", "seed": 3}
    with pytest.raises(ConfigError, match="device is given twice: 'cpu', and 'cuda' with --set"):
        with_settings({"device": "cpu"}, ["device=cuda"])
