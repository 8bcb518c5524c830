"""A training run, put together and ready for its first step."""

import socket
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from horovod_ocr.checkpoint.saver import Saver
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.distributed.device import first_contact_text, generator_of
from horovod_ocr.distributed.exchange.base import Exchange
from horovod_ocr.distributed.exchange.build import build_exchange
from horovod_ocr.distributed.exchange.own_state import gather_states
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
from horovod_ocr.training.meeting import meet
from horovod_ocr.training.opening import finished_line, opening_lines
from horovod_ocr.training.optim import build_optimizer, decay_groups
from horovod_ocr.training.parts import RunParts, build_parts
from horovod_ocr.training.reporter import Reporter
from horovod_ocr.training.state import TrainState
from horovod_ocr.training.update import Schedule, Update


def set_up(config: TrainConfig, world: World, watchdog: Watchdog) -> Trainer:
    """Every rank must call this. Raises the same OcrError on every rank."""
    beginning = begin(config, world, watchdog)
    parts = world.collectively(lambda: build_parts(config, world, beginning))
    state = TrainState(parts.total_steps, parts.train.steps)
    watchdog.reached(0, first_contact_text(beginning.device))
    update = build_update(config, world, parts)
    remarks = meet(config, world, beginning, parts, update, state, watchdog)
    beginning = replace(beginning, payload=None)  # it is as large as model and optimizer, of all ranks on root
    saver = world.collectively(lambda: take_over(config, world, beginning))
    ownership = saver.ownership if saver else None
    heartbeat = Heartbeat(beginning.run, ownership, state.total_steps, world.world_size)
    report = Reporter(state, heartbeat, watchdog)
    log = world.collectively(lambda: RunLog(beginning.run, world.rank, state.step))
    with ExitStack() as on_error:
        on_error.callback(log.close)
        log.note(f"rank {world.rank} of {world.world_size} on {socket.gethostname()}, from step {state.step}")
        periods = periods_of(config, state, parts, update.exchange)
        for line in [*opening_lines(config, world, beginning, parts, state, periods), *remarks]:
            log.line(line)
        signals, interval = StopSignals(), Interval(parts.task, beginning.device)
        save = build_save(config, world, beginning, parts, update, interval, report, saver)
        agenda = hooks.Agenda(world, periods, save.clock, lambda: signals.received or heartbeat.request)
        trainer = Trainer(
            world=world,
            run=beginning.run,
            state=state,
            stream=parts.train,
            gradients=build_gradients(config, beginning, parts, update),
            update=update,
            hooks=build_hooks(config, world, beginning, parts, update, log, interval, report, agenda, save),
            save=save,
            interval=interval,
            report=report,
            log=log,
            signals=signals,
            finished_line=finished_line(beginning.run, parts.total_steps, beginning.store.index),
        )
        on_error.pop_all()
    return trainer


def take_over(config: TrainConfig, world: World, beginning: Beginning) -> Saver | None:
    """Root takes the run's folder over before anything is written there. CheckpointError if it cannot be written."""
    kept, on_gpu = config.checkpoints, beginning.device.type == "cuda"
    return Saver(beginning.run, kept.keep_checkpoints, kept.keep_epochs, on_gpu) if world.is_root else None


def build_gradients(config: TrainConfig, beginning: Beginning, parts: RunParts, update: Update) -> Gradients:
    """This rank's forward and backward."""
    ranks = config.ranks
    return Gradients(parts.model, parts.task, update, beginning.precision, ranks.accumulate, ranks.sync_batchnorm)


def build_update(config: TrainConfig, world: World, parts: RunParts) -> Update:
    """The optimizer, wrapped for the exchange, and the schedule."""
    o, groups = config.optimizer, decay_groups(parts.model, config.optimizer.weight_decay)
    exchange = build_exchange(
        config.exchange, world, parts.model, groups, build_optimizer, parts.total_steps, config.ranks.accumulate
    )
    schedule = Schedule(o.lr, o.warmup_share, parts.total_steps)
    return Update(parts.model, exchange, schedule, o.clip_norm, has_other_ranks=world.world_size > 1)


def periods_of(config: TrainConfig, state: TrainState, parts: RunParts, exchange: Exchange) -> hooks.Periods:
    """Steps between log lines, validations and saves. Ranks that step alone validate and save when they have met."""
    period = min(5000, max(1, state.total_steps // 10))
    validate_steps = (config.log.validate_every_steps or period) if parts.val else None
    save_steps = config.checkpoints.save_every_steps or period
    return hooks.Periods(config.log.log_every_steps, validate_steps, save_steps, exchange.is_met)


def build_save(
    config: TrainConfig,
    world: World,
    beginning: Beginning,
    parts: RunParts,
    update: Update,
    interval: Interval,
    report: Reporter,
    saver: Saver | None,
) -> hooks.Save:
    """The hook that saves. saver: of root; None on other ranks."""
    kept, device, settings = config.checkpoints, beginning.device, config.to_dict()

    def payload(state: TrainState) -> dict[str, Any]:
        exchange, own = update.exchange, update.exchange.own_state()
        # what each rank keeps for itself: a run resumes exactly on the same number of ranks
        kept = {"exchange": {"name": config.exchange.exchange, "ranks": gather_states(world, own)}} if own else {}
        return {
            **kept,
            "model": parts.model.state_dict(),
            "optimizer": exchange.optimizer_state(),
            "best": state.best,
            "epoch": state.epoch,
            "rng": world.gather(generator_of(device).get_state()),
            "config": settings,
            **parts.identity,
            "versions": {"torch": str(torch.__version__)},
        }

    clock = hooks.SaveClock(kept.save_every_minutes, world.is_root)
    return hooks.Save(world, saver, payload, parts.model, clock, interval, report, kept.most_failed_saves)
