"""A model by its name in the configuration."""

import inspect
from typing import Any

from horovod_ocr.errors import ConfigError
from horovod_ocr.models.base import FrameModel
from horovod_ocr.models.crnn import CRNN

MODELS: dict[str, type[FrameModel]] = {"crnn": CRNN}


def build_model(name: str, outputs: int, height: int, **options: Any) -> FrameModel:
    """A new model with random weights.

    Args:
        name: one of MODELS.
        outputs: the width of its head: the scores of each frame.
        height: of the images, in pixels.
        options: the other parameters of the model's constructor.

    Raises:
        ConfigError: there is no such model, it takes no such option, or it cannot be built with these values.
    """
    if name not in MODELS:
        raise ConfigError(f"no model {name!r}; there are: {', '.join(MODELS)}")
    known = set(inspect.signature(MODELS[name]).parameters) - {"outputs", "height"}
    if unknown := set(options) - known:
        raise ConfigError(f"model {name} has no option {sorted(unknown)[0]!r}; it takes: {', '.join(sorted(known))}")
    try:
        return MODELS[name](outputs=outputs, height=height, **options)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"model {name}: {error}") from error
