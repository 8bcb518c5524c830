"""A model by its name, with options of its own."""

import pytest

from horovod_ocr.errors import ConfigError
from horovod_ocr.models.build import build_model


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layers": True}, "layers must be of type int, not True"),
        ({"hidden": "a"}, "hidden must be of type int, not 'a'"),
        ({"width": "wide"}, "width must be of type float, not 'wide'"),
        ({"width": [1]}, "width must be of type float"),
        ({"depth": 3}, "no option 'depth'; it takes: dropout"),
    ],
)
def test_an_option_that_cannot_be_is_one_sentence(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_model("crnn", 10, 64, **options)


@pytest.mark.parametrize("name", ["crnn", "cnn", "resnet18", "resnet50"])
@pytest.mark.parametrize("width", [float("inf"), float("nan"), 1e308])
def test_a_width_without_end_is_one_sentence(name, width):
    with pytest.raises(ConfigError, match=f"model {name}: "):
        build_model(name, 10, 64, width=width)


def test_an_integer_is_a_number():
    assert build_model("crnn", 10, 64, width=1).frame_stride_px == 4
