"""The options of the sharder: defaults < horovod-ocr.toml < command line."""

from pathlib import Path

import pytest

from horovod_ocr.config.overlay import settings_of
from horovod_ocr.config.shard import load_shard_options
from horovod_ocr.errors import ConfigError
from sharding.options import ShardOptions


def test_every_option_of_the_sharder_can_be_set_in_the_file(tmp_path):
    assert load_shard_options({}, tmp_path) == ShardOptions()
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
        "max_pixels": 1000,
        "model_height": 48,
        "frame_px": 8,
        "scratch": "s",
    }
    assert values.keys() == settings_of(ShardOptions).keys()
    (tmp_path / "horovod-ocr.toml").write_text("[shard]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in values.items()))
    options = load_shard_options({}, tmp_path)
    paths = {name: Path(values[name]) for name in ("out", "images", "split_lists", "scratch")}
    assert options == ShardOptions.of(**values | paths | {"src": (Path("a"), Path("b")), "fractions": (0.5, 0.5, 0.0)})
    for name, setting in settings_of(ShardOptions).items():
        assert setting.of(options) != setting.of(ShardOptions()), name
        assert setting.help, name


def toml(value: object) -> str:
    return repr(value).lower() if isinstance(value, bool) else repr(value)


def test_the_command_line_goes_before_the_file_of_the_sharder(tmp_path):
    (tmp_path / "horovod-ocr.toml").write_text('[shard]\nsrc = "one"\nsplit = "file"\ndedup = true\nseed = 4\n')
    options = load_shard_options({"src": ["x", "y"], "group_from": "p", "dedup": False}, tmp_path)
    assert options.source.src == (Path("x"), Path("y")) and options.seed == 4 and not options.dedup
    assert (options.splits.split, options.splits.group_from) == (None, "p")  # what decides the split is chosen as one


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"src": []}, "src must be folders"),
        ({"src": ["raw", 3]}, "src must be folders"),
        ({"fractions": ["0.8"]}, "fractions must be numbers"),
        ({"fractions": [0.8, 0.2]}, "fractions are 3 numbers, such as 0.8,0.1,0.1, not 0.8,0.2"),
        ({"fractions": [float("nan"), 0.5, 0.5]}, "fractions are 3 numbers"),
        ({"max_label": -1}, "max_label must be at least 0"),
        ({"dedup": 1}, "dedup must be true or false"),
        ({"max_labels": 1}, "no setting 'max_labels'; did you mean 'max_label'"),
    ],
)
def test_what_is_wrong_for_the_sharder_is_named(values, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        load_shard_options(values, tmp_path)


def test_fractions_of_the_command_line(tmp_path):
    assert load_shard_options({"fractions": "0.8, 0.1,0.1"}, tmp_path).splits.fractions == (0.8, 0.1, 0.1)
    with pytest.raises(ConfigError, match="fractions must be numbers, not '0.8;0.1'"):
        load_shard_options({"fractions": "0.8;0.1"}, tmp_path)
