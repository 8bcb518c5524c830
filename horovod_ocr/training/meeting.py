"""The ranks meet for the first time, and begin with the same weights."""

from pathlib import Path

import torch

from horovod_ocr.checkpoint.restore import load_generator, load_state
from horovod_ocr.checkpoint.transfer import transfer
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.distributed.device import first_contact_text, generator_of, seed_of_rank
from horovod_ocr.distributed.votes import check_same_weights
from horovod_ocr.distributed.watchdog import Watchdog
from horovod_ocr.distributed.world import World
from horovod_ocr.training.begin import Beginning
from horovod_ocr.training.opening import what_changes
from horovod_ocr.training.parts import RunParts
from horovod_ocr.training.state import TrainState
from horovod_ocr.training.update import Update


def meet(
    config: TrainConfig,
    world: World,
    beginning: Beginning,
    parts: RunParts,
    update: Update,
    state: TrainState,
    watchdog: Watchdog,
) -> list[str]:
    """Load, then broadcast. The optimizer is wrapped already: a wrapper drops what was loaded before. Collective.

    Returns what root has to say of the weights that a new run begins with, or of what a resumed run changes. Raises
    DivergedError on every rank if ranks hold different weights afterwards, CheckpointError for weights that do not fit.
    """
    remarks: list[str] = []
    payload, weights = beginning.payload, parts.model.state_dict()
    torch.manual_seed(seed_of_rank(config.seed, world.rank))
    if payload:
        name = config.exchange.exchange
        world.collectively(lambda: load_state(payload, parts.model, update.exchange, name))
        load_generator(payload["rng"], generator_of(beginning.device), world)
        state.step, state.best = payload["step"], payload["best"]
        remarks = what_changes(payload["config"], config)
    elif config.init_from:
        source = Path(config.init_from)
        remarks = world.collectively(lambda: [transfer(source, parts.model, parts.task)] if world.is_root else [])
    watchdog.reached(state.step, first_contact_text(beginning.device))
    world.broadcast_tensors(weights)
    check_same_weights(world, weights, "after the broadcast")
    update.exchange.begin()
    return remarks
