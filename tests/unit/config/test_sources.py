"""Defaults < recipe < horovod-ocr.toml < command line."""

from dataclasses import fields, is_dataclass, replace
from importlib import resources

import pytest
from PIL import Image

from horovod_ocr.config.overlay import overlay, settings_of
from horovod_ocr.config.recipe import recipe_names
from horovod_ocr.config.shard import load_shard_options
from horovod_ocr.config.sources import load_config, parse_settings, table_of_settings, train_table, with_settings
from horovod_ocr.config.train import TrainConfig, check_config
from horovod_ocr.data.augment.strengths import Augmentation
from horovod_ocr.errors import ConfigError
from horovod_ocr.tasks.recipe import default_recipe, new_config
from sharding.build import build_shards
from sharding.format.index import read_index, write_index
from sharding.options import ShardOptions


def test_each_source_goes_before_the_one_below(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text("lr = 1e-3\nsteps = 5\nglobal_batch = 8\n[model_options]\nwidth = 1.0\n")
    (tmp_path / "horovod-ocr.toml").write_text(
        "[train]\nsteps = 6\nglobal_batch = 16\n[train.model_options]\nhidden = 7\n"
    )
    config = load_config(str(recipe), {"global_batch": 32}, tmp_path)
    assert (config.seed, config.optimizer.lr, config.plan.steps, config.plan.global_batch) == (0, 1e-3, 6, 32)
    assert config.network.model_options == {"width": 1.0, "hidden": 7}


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_and_says_its_command(name, tmp_path):
    assert load_config(name, {}, tmp_path).recipe == name
    text = (resources.files("horovod_ocr") / "recipes" / f"{name}.toml").read_text("utf-8")
    assert "horovod-ocr train" in text.split("\n\n")[0]


def test_a_byte_order_mark_is_no_part_of_a_file_of_settings(tmp_path):
    (tmp_path / "mine.toml").write_text("# für uns\nlr = 1e-3\n", "utf-8-sig")
    (tmp_path / "horovod-ocr.toml").write_text("[train]\nsteps = 6\n", "utf-8-sig")
    config = load_config(str(tmp_path / "mine.toml"), {}, tmp_path)
    assert (config.optimizer.lr, config.plan.steps) == (1e-3, 6)


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
        load_config(None, {}, tmp_path)


def test_a_nested_setting_of_the_command_line(tmp_path):
    given = parse_settings(["augmentation.noise=0", "model_options.width=0.25", "run=my run"])
    config = load_config(None, given, tmp_path)
    assert config.data.augmentation.noise == 0.0 and config.network.model_options == {"width": 0.25}
    assert config.run == "my run"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"globl_batch": 3}, "no setting 'globl_batch'; did you mean 'global_batch'"),
        ({"steps": "ten"}, "steps must be an integer, not 'ten'"),
        ({"augmentation": {"nois": 1}}, "no setting 'nois'; did you mean 'noise'"),
        ({"lr": -1.0}, "lr must be above 0, not"),
        ({"lr": float("nan")}, "lr must be above 0, not"),
        ({"run": "runs/it"}, "run is a name without folders, not 'runs/it'"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 1 << 63}, "seed must be at least 0 and below 9223372036854775808"),
        ({"precision": "fp8"}, "precision is auto"),
        ({"warmup_share": 1.5}, "warmup_share must be at least 0 and below 1, not 1.5"),
        ({"epochs": 0.0}, "one of them must be more than 0"),
    ],
)
def test_what_is_wrong_is_named(values, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        load_config(None, values, tmp_path)


@pytest.mark.parametrize(
    "text", ["lr = 0.5\n[augmentation]\nnoise = 0.5", "[train]\nlr = 0.5\n[train.augmentation]\nnoise = 0.5"]
)
def test_a_recipe_is_written_with_or_without_train(tmp_path, text):
    (tmp_path / "r.toml").write_text(f"{text}\n")
    config = load_config(str(tmp_path / "r.toml"), {}, tmp_path)
    assert (config.optimizer.lr, config.data.augmentation.noise) == (0.5, 0.5)


def test_a_recipe_that_holds_more_than_train_is_refused(tmp_path):
    (tmp_path / "r.toml").write_text('[train]\nlr = 0.5\n[shard]\nout = "x"\n')
    with pytest.raises(ConfigError, match="no setting 'train'"):
        load_config(str(tmp_path / "r.toml"), {}, tmp_path)


@pytest.mark.parametrize("text", ['engine = "torch"', '[ranks]\nengine = "torch"'])
def test_a_recipe_that_names_an_engine_is_refused(tmp_path, text):
    """The ranks have met by then."""
    (tmp_path / "r.toml").write_text(f"{text}\n")
    with pytest.raises(ConfigError, match="r.toml names an engine, but ranks have met when it is read; give --engine"):
        load_config(str(tmp_path / "r.toml"), {}, tmp_path)


def test_unknown_recipes_files_and_tables(tmp_path):
    with pytest.raises(ConfigError, match="no recipe 'klingon'; there are: asl, classes, demo"):
        load_config("klingon", {}, tmp_path)
    with pytest.raises(ConfigError, match="no file"):
        load_config(str(tmp_path / "no.toml"), {}, tmp_path)
    with pytest.raises(ConfigError, match="--set lr: write it as NAME=VALUE"):
        parse_settings(["lr"])
    (tmp_path / "horovod-ocr.toml").write_text("[shard]\nscr = 'raw'\n")
    with pytest.raises(ConfigError, match="no setting 'scr'; did you mean 'src'"):
        load_shard_options({}, tmp_path)
    (tmp_path / "horovod-ocr.toml").write_text("[trian]\n")
    with pytest.raises(ConfigError, match=r"'trian' is not a table of settings; there are: \[shard\], \[train\]"):
        table_of_settings("shard", tmp_path)
    (tmp_path / "horovod-ocr.toml").write_text("[shard\n")
    with pytest.raises(ConfigError, match="not TOML"):
        table_of_settings("shard", tmp_path)
    with pytest.raises(ConfigError, match="--set a.b=2: a is given before, as 1"):
        parse_settings(["a=1", "a.b=2"])


def test_a_config_is_frozen(tmp_path):
    with pytest.raises(AttributeError):
        check_config(load_config(None, {}, tmp_path)).seed = 1


@pytest.mark.parametrize(
    ("profile", "direction", "letters", "recipe"),
    [
        ("urdu", None, "بات" * 10, "urdu-lines"),
        ("urdu", None, "بات", "urdu"),
        ("latin", None, "a line of some words", "lines"),
        ("latin", None, "word", None),
        ("plain", "rtl", "שורה של כמה מילים", "lines"),
        ("plain", "rtl", "מילה", None),
        ("thai", None, "ภาษาไทย", None),
        ("thai", None, "ภาษาไทย" * 3, "lines"),
        ("arabic", None, "كلمة", None),
        ("arabic", None, "كلمة " * 4, "lines"),
    ],
)
def test_every_script_has_a_recipe_for_words_and_for_lines(tmp_path, profile, direction, letters, recipe):
    labels = [letters.strip(), letters.strip(), letters[:2]]  # what most of them are decides
    for number, label in enumerate(labels):
        Image.new("L", (640 + number, 64), 255).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.gt.txt").write_text(label, "utf-8")
    out = tmp_path / "shards"
    build_shards(ShardOptions.of(src=tmp_path, out=out, profile=profile, direction=direction, workers=1))
    assert default_recipe(str(out), tmp_path) == recipe
    assert load_config(recipe, {}, tmp_path).network.model == "crnn"


def test_a_profile_file_that_is_called_like_a_recipe_does_not_choose_it(word_shards, tmp_path):
    index = read_index(word_shards)
    mine = replace(index, root=tmp_path, profile=replace(index.profile, name="demo"))
    write_index(mine)
    assert default_recipe(str(tmp_path), tmp_path) is None


def test_a_setting_that_is_given_twice_with_other_values_is_refused():
    assert with_settings({"lr": 0.5, "run": "a"}, ["seed=3", "run=a"]) == {"lr": 0.5, "run": "a", "seed": 3}
    with pytest.raises(ConfigError, match="device is given twice: 'cpu', and 'cuda' with --set"):
        with_settings({"device": "cpu"}, ["device=cuda"])


def test_a_setting_is_known_by_its_own_name_and_in_its_table(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text("[optimizer]\nlr = 1e-3\n[plan]\nlanes = 6\n[data.augmentation]\nnoise = 0\n")
    (tmp_path / "horovod-ocr.toml").write_text("[train]\nlanes = 7\n[train.ranks]\ndevice = 'cpu'\n")
    config = load_config(str(recipe), with_settings({}, ["optimizer.clip_norm=1", "window=9"]), tmp_path)
    assert (config.optimizer.lr, config.optimizer.clip_norm) == (1e-3, 1.0)
    assert (config.plan.lanes, config.plan.window, config.ranks.device) == (7, 9, "cpu")
    assert config.data.augmentation.noise == 0


def test_names_are_unique_over_all_tables():
    everything = TrainConfig().to_dict()
    assert (
        len(everything) == sum(len(fields(kind)) for kind in tables_of(TrainConfig)) - len(tables_of(TrainConfig)) + 1
    )
    assert overlay(TrainConfig(), everything, "itself") == TrainConfig()


def tables_of(kind: type) -> list[type]:
    return [kind, *(type(getattr(kind(), entry.name)) for entry in fields(kind) if is_dataclass(entry.type))]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lr": 1e-3, "optimizer": {"lr": 2e-3}}, "lr is given twice, alone and as optimizer.lr"),
        ({"optimizer": {"lanes": 3}}, "no setting 'lanes'"),
        ({"optimizer": 3}, "optimizer is a table of settings, not 3"),
        ({"optimiser": {"lr": 1.0}}, "did you mean 'optimizer'"),
        ({"lr": float("inf")}, "lr must be above 0, not inf"),
        ({"workers": -2}, "workers must be at least -1"),
        ({"resume": 1}, "resume must be true or false, not 1"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        overlay(TrainConfig(), values, "a file")


def test_zero_and_an_empty_text_are_what_a_person_writes_for_none():
    written = {"steps": 0, "cache_dir": "", "save_every_minutes": 0, "check_ranks_every_steps": 0, "run": ""}
    config = overlay(TrainConfig(), written, "a file")
    assert (config.plan.steps, config.data.cache_dir, config.checkpoints.save_every_minutes) == (None, None, None)
    assert (config.ranks.check_ranks_every_steps, config.run) == (None, None)
    assert overlay(TrainConfig(), {"workers": 0, "keep_epochs": 0}, "a file").checkpoints.keep_epochs == 0


def test_epochs_of_the_command_line_go_before_the_steps_of_a_recipe(tmp_path):
    config = load_config("demo", with_settings({"epochs": 2.0}, []), tmp_path)
    assert (config.plan.steps, config.plan.min_steps, config.plan.epochs) == (None, 0, 2.0)
    config = load_config("demo", with_settings({"epochs": 2.0}, ["steps=7"]), tmp_path)
    assert config.plan.steps == 7


@pytest.mark.parametrize("line", ["recipe = 3", "shards = 3", "runs = 3", "run = 3", "resume = 3", "device = 3"])
def test_a_value_of_another_type_in_the_settings_file_is_one_sentence_wherever_it_is_read(tmp_path, line):
    (tmp_path / "horovod-ocr.toml").write_text(f"[train]\n{line}\n")
    name = line.split()[0]
    for read in (train_table, lambda folder: default_recipe(None, folder), lambda folder: new_config(None, {}, folder)):
        with pytest.raises(ConfigError, match=rf"horovod-ocr.toml, \[train\]: {name} "):
            read(tmp_path)


def test_a_value_of_another_type_on_the_command_line_is_one_sentence():
    with pytest.raises(ConfigError, match="the command line: run must be a text, not 3"):
        with_settings({}, ["run=3"])


def test_an_empty_recipe_in_the_settings_file_means_none(tmp_path):
    (tmp_path / "horovod-ocr.toml").write_text('[train]\nrecipe = ""\n')
    assert new_config(None, {}, tmp_path) == TrainConfig()


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/tmp/a", "a\nb"])
def test_the_name_of_a_run_is_no_other_folder(name, tmp_path):
    with pytest.raises(ConfigError, match="run is a name without folders"):
        load_config(None, {"run": name}, tmp_path)


def test_another_model_has_none_of_the_options_of_the_one_before(tmp_path):
    (tmp_path / "r.toml").write_text("model_options = {hidden = 7}\n")
    recipe = str(tmp_path / "r.toml")

    def options_of(**given) -> dict:
        return load_config(recipe, given, tmp_path).network.model_options

    assert options_of(model="toy") == {}
    assert options_of(model="toy", model_options={"depth": 2}) == {"depth": 2}
    assert options_of(model="crnn", lr=1.0) == {"hidden": 7}


@pytest.mark.parametrize("value", ["9" * 400, "9" * 5000, "[" * 3000 + "]" * 3000, "nan", "-inf"])
def test_a_number_that_is_none_is_one_sentence_on_the_command_line_and_in_a_file(value, tmp_path):
    with pytest.raises(ConfigError, match="lr must be"):
        with_settings({}, [f"lr={value}"])
    (tmp_path / "horovod-ocr.toml").write_text(f"[train]\nlr = {value}\n")
    with pytest.raises(ConfigError, match="lr must be|not TOML"):
        train_table(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [["optimizer.clip_norm=2", "optimizer={lr=1}"], ["optimizer={lr=1}", "optimizer.clip_norm=2"], ["lr=1", "lr=1"]],
)
def test_what_is_set_twice_is_one_table(settings):
    found = parse_settings(settings)
    assert found == ({"lr": 1} if settings[0] == "lr=1" else {"optimizer": {"clip_norm": 2, "lr": 1}})


@pytest.mark.parametrize("settings", [["lr=1", "lr=2"], ["optimizer.lr=1", "optimizer={lr=2}"]])
def test_what_is_set_twice_to_other_values_is_refused(settings):
    with pytest.raises(ConfigError, match="lr is given before, as 1"):
        parse_settings(settings)


def test_a_value_of_two_lines_is_no_toml_and_loses_nothing():
    assert parse_settings(["run=1\nx=2"]) == {"run": "1\nx=2"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["ranks.lr=1"], "no setting 'lr' in ranks; it is in optimizer"),
        (["log.seed=1"], "no setting 'seed' in log; it is in no table"),
        (["train.lr=1"], "no setting 'train'; there are: run, "),
    ],
)
def test_a_setting_in_another_table_is_told_its_own(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        with_settings({}, settings)


@pytest.mark.parametrize("target", ["nowhere", "horovod-ocr.toml"])
def test_a_settings_file_that_is_a_link_to_nowhere_is_not_the_defaults(target, tmp_path):
    (tmp_path / "horovod-ocr.toml").symlink_to(tmp_path / target)
    with pytest.raises(ConfigError, match="there is no file|cannot be read"):
        table_of_settings("train", tmp_path)


def test_inherited_settings_have_their_meanings():
    known = settings_of(Augmentation)
    assert list(known)[0] == "scale" and list(known)[-1] == "flip"
    assert all(len(setting.help) > 5 for setting in known.values())
