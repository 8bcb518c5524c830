"""A training run, put together and ready for its first step."""

import socket
from typing import Any

import torch

from horovod_ocr.checkpoint.restore import load_generator, load_state
from horovod_ocr.checkpoint.saver import Saver
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.distributed.device import first_contact, generator_of, seed_of_rank
from horovod_ocr.distributed.exchange.allreduce import Allreduce
from horovod_ocr.distributed.votes import check_same_weights
from horovod_ocr.distributed.watchdog import Watchdog
from horovod_ocr.distributed.world import World
from horovod_ocr.run.log import RunLog
from horovod_ocr.run.signals import StopSignals
from horovod_ocr.run.state import Heartbeat
from horovod_ocr.training import hooks
from horovod_ocr.training.begin import Beginning, begin
from horovod_ocr.training.gradients import Gradients
from horovod_ocr.training.hook_list import build_hooks
from horovod_ocr.training.interval import Interval
from horovod_ocr.training.loop import Trainer
from horovod_ocr.training.opening import finished_line, opening_lines
from horovod_ocr.training.optim import build_optimizer
from horovod_ocr.training.parts import Parts, build_parts
from horovod_ocr.training.reporter import Reporter
from horovod_ocr.training.state import TrainState
from horovod_ocr.training.update import Schedule, Update


def set_up(config: TrainConfig, world: World, watchdog: Watchdog) -> Trainer:
    """Every rank must call this. Raises the same OcrError on every rank."""
    beginning = begin(config, world, watchdog)
    parts = world.collectively(lambda: build_parts(config, world, beginning))
    state = TrainState(parts.total_steps, parts.train.steps)
    heartbeat = Heartbeat(beginning.run, world.is_root, state.total_steps, world.world_size)
    report = Reporter(state, heartbeat, watchdog)
    update = build_update(config, world, parts)
    meet(config, world, beginning, parts, update, state, report)
    log = world.collectively(lambda: RunLog(beginning.run, world.rank, state.step))
    log.note(f"rank {world.rank} of {world.world_size} on {socket.gethostname()}, from step {state.step}")
    periods = periods_of(config, state, parts)
    for line in opening_lines(config, world, beginning, parts, state, periods):
        log.line(line)
    signals, interval = StopSignals(), Interval(parts.task, beginning.device)
    save = build_save(config, world, beginning, parts, update, interval, report)
    agenda = hooks.Agenda(world, periods, save.clock, lambda: signals.received or heartbeat.request)
    ranks = config.ranks
    return Trainer(
        world=world,
        run=beginning.run,
        state=state,
        stream=parts.train,
        gradients=Gradients(
            parts.model, parts.task, update, beginning.precision, ranks.accumulate, ranks.sync_batchnorm
        ),
        hooks=build_hooks(config, world, beginning, parts, update, log, interval, report, agenda, save),
        save=save,
        interval=interval,
        report=report,
        log=log,
        signals=signals,
        finished_line=finished_line(beginning.run, parts.total_steps, beginning.store.index),
    )


def build_update(config: TrainConfig, world: World, parts: Parts) -> Update:
    """The optimizer, wrapped for the exchange, and the schedule."""
    o, ranks = config.optimizer, config.ranks
    optimizer = build_optimizer(parts.model, o.weight_decay)
    exchange = Allreduce(world, parts.model, optimizer, ranks.compression == "fp16", ranks.accumulate)
    schedule = Schedule(o.lr, o.warmup_share, parts.total_steps)
    return Update(parts.model, exchange, schedule, o.clip_norm, waits=world.world_size > 1)


def meet(
    config: TrainConfig,
    world: World,
    beginning: Beginning,
    parts: Parts,
    update: Update,
    state: TrainState,
    report: Reporter,
) -> None:
    """Load, then broadcast. The optimizer is wrapped already: a wrapper drops what was loaded before. Collective.

    Raises DivergedError on every rank if ranks hold different weights afterwards.
    """
    payload, weights = beginning.payload, parts.model.state_dict()
    torch.manual_seed(seed_of_rank(config.seed, world.rank))
    if payload:
        world.collectively(lambda: load_state(payload, parts.model, update.optimizer))
        load_generator(payload["rng"], generator_of(beginning.device), world)
        state.step, state.best = payload["step"], payload["best"]
    report(first_contact(beginning.device))
    world.broadcast_tensors(weights)
    check_same_weights(world, weights, "after the broadcast")


def periods_of(config: TrainConfig, state: TrainState, parts: Parts) -> hooks.Periods:
    """Steps between log lines, validations and saves."""
    period = min(5000, max(1, state.total_steps // 10))
    validate_steps = (config.log.validate_every_steps or period) if parts.val else None
    return hooks.Periods(config.log.log_every_steps, validate_steps, config.checkpoints.save_every_steps or period)


def build_save(
    config: TrainConfig,
    world: World,
    beginning: Beginning,
    parts: Parts,
    update: Update,
    interval: Interval,
    report: Reporter,
) -> hooks.Save:
    """The hook that saves; root takes the run's folder over. Collective. CheckpointError if that cannot be written."""
    kept, device, settings = config.checkpoints, beginning.device, config.to_dict()

    def build_saver() -> Saver | None:
        on_gpu = device.type == "cuda"
        return Saver(beginning.run, kept.keep_checkpoints, kept.keep_epochs, on_gpu) if world.is_root else None

    def payload(state: TrainState) -> dict[str, Any]:
        return {
            "model": parts.model.state_dict(),
            "optimizer": update.optimizer.state_dict(),
            "best": state.best,
            "epoch": state.epoch,
            "rng": world.gather(generator_of(device).get_state()),
            "config": settings,
            **parts.identity,
            "versions": {"torch": str(torch.__version__)},
        }

    clock = hooks.SaveClock(kept.save_every_minutes, world.is_root)
    saver = world.collectively(build_saver)
    return hooks.Save(world, saver, payload, parts.model, clock, interval, report, kept.most_failed_saves)
