"""The networks. A model maps images (N, 1, H, W) to scores; it knows nothing of ranks, paths or configs."""

import inspect

from torch import nn

from horovod_ocr.errors import ConfigError
from horovod_ocr.models.crnn import CRNN

MODELS = {"crnn": CRNN}


def build_model(name: str, classes: int, height: int, **options) -> nn.Module:
    """A model by name. ConfigError names the models there are, or the options this one takes."""
    if name not in MODELS:
        raise ConfigError(f"no model {name!r}; there are: {', '.join(MODELS)}")
    known = set(inspect.signature(MODELS[name]).parameters) - {"classes", "height"}
    if unknown := set(options) - known:
        raise ConfigError(f"model {name} has no option {sorted(unknown)[0]!r}; it takes: {', '.join(sorted(known))}")
    try:
        return MODELS[name](classes=classes, height=height, **options)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"model {name}: {error}") from error
