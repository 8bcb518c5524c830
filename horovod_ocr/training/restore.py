"""A checkpoint back to what reads: model, task and geometry."""

from dataclasses import dataclass

import torch
from torch import nn

from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import CheckpointError
from horovod_ocr.models import build_model
from horovod_ocr.training.task import WordTask


@dataclass(frozen=True)
class Restored:
    """A trained model, ready to evaluate, and what it needs to be fed and understood."""

    model: nn.Module
    task: WordTask
    geometry: Geometry


def restore(payload: dict, device: torch.device) -> Restored:
    """From a checkpoint's payload. CheckpointError where the weights do not fit the model that it names."""
    task = WordTask.from_dict(payload["task"])
    geometry = Geometry.from_dict(payload["geometry"])
    model = build_model(payload["model_name"], task.outputs, geometry.height, **payload["model_options"])
    try:
        model.load_state_dict(payload["model"])
    except RuntimeError as error:
        raise CheckpointError(
            f"{payload.get('path', 'a checkpoint')}: weights that do not fit model {payload['model_name']}; train anew"
        ) from error
    return Restored(model.to(device).eval(), task, geometry)
