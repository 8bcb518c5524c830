"""Defaults < recipe < horovod-ocr.toml < command line."""

from importlib import resources

import pytest

from horovod_ocr.config import (
    ShardSettings,
    check_config,
    load_config,
    overlay,
    parse_settings,
    recipe_names,
    table_of_settings,
)
from horovod_ocr.errors import ConfigError


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
        ({"seed": -1}, "seed must be at least 0"),
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
