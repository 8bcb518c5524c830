"""The hooks of a run, in their order."""

import socket

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.distributed.damaged_samples import DamagedSamples
from horovod_ocr.distributed.world import World
from horovod_ocr.evaluation.evaluate import evaluate
from horovod_ocr.run.log import RunLog
from horovod_ocr.tasks.base import Scores
from horovod_ocr.training import hooks
from horovod_ocr.training.begin import Beginning
from horovod_ocr.training.interval import Interval
from horovod_ocr.training.parts import RunParts
from horovod_ocr.training.reporter import Reporter
from horovod_ocr.training.update import Update


def build_hooks(
    config: TrainConfig,
    world: World,
    beginning: Beginning,
    parts: RunParts,
    update: Update,
    log: RunLog,
    interval: Interval,
    report: Reporter,
    agenda: hooks.Agenda,
    save: hooks.Save,
) -> list[hooks.Hook]:
    """What happens around each step, in this order. Collective."""
    c, model, on_gpu = config, parts.model, beginning.device.type == "cuda"
    hosts = world.gather(socket.gethostname())
    damage, val_damage = (
        DamagedSamples(world, beginning.store.index.of(split), c.data.max_bad) for split in ("train", "val")
    )
    exchange, address, precision = update.exchange, parts.train.address_of, beginning.precision
    remedies = remedies_for(precision, c.exchange.compression)
    skipped = hooks.SkippedUpdates(world, c.optimizer.most_skipped, address, on_gpu, exchange.all_finite, remedies)

    def score() -> Scores:
        assert parts.val, "a validation is due although there is no val split"
        return evaluate(model, parts.task, parts.val, world, precision, val_damage, report.batches)

    return [
        agenda,
        hooks.CheckRanks(world, model, c.ranks.check_ranks_every_steps),
        skipped,
        hooks.CountDamage(damage, save),
        hooks.Log(world, log, interval, update, damage, skipped, hosts),
        hooks.Validate(world, log, interval, model, parts.task.figures, score, save),
        save,
        hooks.Profile(c.log.profile, beginning.run, world.rank, beginning.device, log),
    ]


def remedies_for(precision: str, compression: str) -> str:
    """What may keep losses and gradients finite, for a sentence. precision: bf16, fp32 or fp64. compression: as in
    ExchangeConfig."""
    of_numbers = ["--precision fp32"] if precision == "bf16" else []
    of_numbers += ["--compression none"] if compression == "fp16" else []
    return " or ".join(["lower lr", *(f"give {option}" for option in of_numbers)])
