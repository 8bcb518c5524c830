"""Model, task, geometry and config from a checkpoint."""

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from horovod_ocr.config.overlay import overlay, settings_of
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.console import console
from horovod_ocr.data.image import Geometry
from horovod_ocr.distributed.exchange.base import Exchange
from horovod_ocr.distributed.exchange.own_state import states_from_root
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import CheckpointError
from horovod_ocr.models.base import ImageModel
from horovod_ocr.tasks.base import Task
from horovod_ocr.tasks.build import build_model_for, task_from_dict


@dataclass(frozen=True)
class Restored:
    """A trained model."""

    model: ImageModel
    """In evaluation mode."""
    task: Task
    """What its outputs mean."""
    geometry: Geometry
    """The size of its images."""


def restore(payload: dict[str, Any], device: torch.device) -> Restored:
    """The model of a checkpoint. CheckpointError if the weights do not fit the model that it names."""
    task = task_from_dict(payload["task"])
    geometry = Geometry.from_dict(payload["geometry"])
    described = task, geometry, payload["model_name"], payload["model_options"]
    with torch.device("meta"):  # no memory for what a damaged or crafted file asks for, until it fits
        shapes = shapes_of(build_model_for(*described).state_dict())
    if shapes != shapes_of(payload["model"]):
        raise does_not_fit(payload)
    model = build_model_for(*described)
    load_state(payload, model)
    return Restored(model.to(device).eval(), task, geometry)


def config_of(payload: dict[str, Any], run: Path) -> TrainConfig:
    """The config that a run was trained with. Settings that this version does not know are left out, with a warning.

    ConfigError for a value that it does not take.
    """
    saved = payload["config"]
    if unknown := sorted(saved.keys() - settings_of(TrainConfig).keys()):
        console.print(f"warning: {run} was begun by another version; not known: {', '.join(unknown)}", markup=False)
    known = {name: value for name, value in saved.items() if name not in unknown}
    return overlay(TrainConfig(), known, f"{run}: its checkpoint")


def load_state(payload: dict[str, Any], model: nn.Module, exchange: Exchange | None = None, name: str = "") -> None:
    """Load the weights, and the state of the optimizer, of a checkpoint. CheckpointError if they do not fit.

    Every rank loads them: hvd.broadcast_optimizer_state takes a real step on ranks whose state is empty. name: of the
    exchange; what ranks kept for themselves is loaded, from root, if the checkpoint was written under the same one.
    """
    try:
        model.load_state_dict(payload["model"])
        if exchange:
            exchange.load_optimizer_state(payload["optimizer"])
            kept = payload.get("exchange", {})
            if kept.get("name") == name:
                states = states_from_root(exchange.world, kept["ranks"])
                try:
                    exchange.load_own_states(states, len(kept["ranks"]))
                finally:
                    deque(states, 0)  # the other ranks may still wait for some
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise does_not_fit(payload) from error


def load_generator(states: list[Tensor], generator: torch.Generator, world: World) -> None:
    """Restore a rank's random numbers, if the run is resumed by as many ranks, on devices of the same kind."""
    if len(states) == world.world_size and states[world.rank].numel() == generator.get_state().numel():
        generator.set_state(states[world.rank])


def shapes_of(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: values.shape for name, values in state.items()}


def does_not_fit(payload: dict[str, Any]) -> CheckpointError:
    where = payload.get("path", "a checkpoint")
    return CheckpointError(f"{where}: weights that do not fit model {payload['model_name']}; train anew")
