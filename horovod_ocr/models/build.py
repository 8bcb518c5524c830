"""A model by its name in the configuration."""

import inspect
from typing import Any

from horovod_ocr.errors import ConfigError
from horovod_ocr.models.base import ImageModel
from horovod_ocr.models.cnn import CNN
from horovod_ocr.models.crnn import CRNN
from horovod_ocr.models.resnet import ResNet18, ResNet50

MODELS: dict[str, type[ImageModel]] = {"crnn": CRNN, "cnn": CNN, "resnet18": ResNet18, "resnet50": ResNet50}
FIXED = ("outputs", "height", "channels")  # by task and geometry; the other parameters are options


def build_model(name: str, outputs: int, height: int, channels: int = 1, **options: Any) -> ImageModel:
    """A new model with random weights.

    Args:
        name: one of MODELS.
        outputs: the width of its head: how many scores it gives.
        height: of the images, in pixels.
        channels: of the images: 1, grey, or 3, RGB.
        options: the other parameters of the model's constructor.

    Raises:
        ConfigError: there is no such model, it takes no such option, or it cannot be built with these values.
    """
    if name not in MODELS:
        raise ConfigError(f"no model {name!r}; there are: {', '.join(MODELS)}")
    known = set(inspect.signature(MODELS[name]).parameters) - set(FIXED)
    if unknown := set(options) - known:
        raise ConfigError(f"model {name} has no option {sorted(unknown)[0]!r}; it takes: {', '.join(sorted(known))}")
    check_option_types(name, options)
    try:
        return MODELS[name](outputs=outputs, height=height, channels=channels, **options)
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:  # of int(inf)
        raise ConfigError(f"model {name}: {error}") from error


def check_option_types(name: str, options: dict[str, Any]) -> None:
    """ConfigError for an option of another type than the constructor says. An integer is a number."""
    for option, parameter in inspect.signature(MODELS[name], eval_str=True).parameters.items():
        value, kind = options.get(option), parameter.annotation
        if option not in options or kind not in (bool, int, float, str):
            continue
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ConfigError(f"model {name}: {option} must be of type {kind.__name__}, not {value!r}")
