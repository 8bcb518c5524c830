"""Training: read top to bottom from `train`.

Shapes: N images, H height, W width, T frames, C classes.
"""

import hashlib
import math
import time
from pathlib import Path

import torch
from torch import nn

from horovod_ocr.config import TrainConfig
from horovod_ocr.data.batch import Batch, normalise_images, prefetch
from horovod_ocr.data.forecast import steps_of_run
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.store import ShardStore
from horovod_ocr.data.stream import Stream, StreamOptions
from horovod_ocr.errors import ClusterError, DivergedError, ShardError
from horovod_ocr.log import RunLog
from horovod_ocr.models import build_model
from horovod_ocr.models.batchnorm import average_statistics, synchronise_batchnorm
from horovod_ocr.text.metrics import scores_of
from horovod_ocr.training.begin import check_resumable, check_same, choose_run, open_shards
from horovod_ocr.training.checkpoint import load_checkpoint, save_checkpoint
from horovod_ocr.training.damage import DamageTally
from horovod_ocr.training.device import (
    autocast,
    choose_device,
    choose_precision,
    choose_workers,
    generator_of,
    seed_of_rank,
)
from horovod_ocr.training.evaluate import evaluate, frames_of
from horovod_ocr.training.interval import Interval
from horovod_ocr.training.lines import step_line, val_line
from horovod_ocr.training.optim import build_optimizer, learning_rate
from horovod_ocr.training.task import WordTask
from horovod_ocr.world import World, agreed


def train(config: TrainConfig, world: World) -> Path:
    """Train as the config says and return the run's folder. Every rank must call this.

    Raises the same OcrError on every rank for what can be known before the first step; DivergedError when the loss or
    a gradient is not finite.
    """
    with world.guard("training"):
        run = world.broadcast(world.together(lambda: choose_run(config) if world.is_root else None))
        store = world.together(lambda: open_shards(config, world))
        world.together(lambda: check_same(world.gather(store.index.digest), config.shards))
        resumes = config.resume and world.is_root
        payload = world.broadcast(world.together(lambda: load_checkpoint(run) if resumes else None))
        session = world.together(lambda: Session(config, world, run, store, payload))
        session.start(payload)
        try:
            session.run_steps()
        finally:
            session.log.close()
    return run


class Session:
    """One process's part of a training run."""

    def __init__(self, config: TrainConfig, world: World, run: Path, store: ShardStore, payload: dict | None):
        self.config, self.world, self.run, self.store = config, world, run, store
        self.index = index = store.index
        self.device = choose_device(world)
        self.precision = choose_precision(config.precision, self.device)
        self.dtype = torch.float64 if self.precision == "fp64" else torch.float32
        self.task = WordTask.of(index)
        self.geometry = Geometry(config.height, index.aspect_edges)
        self.train_stream = self.open_stream("train")
        self.val_stream = self.open_stream("val") if index.totals.get("val") else None
        self.steps_per_epoch = self.train_stream.steps
        self.total_steps = steps_of_run(config.steps, config.epochs, config.min_steps, self.steps_per_epoch)
        period = min(5000, max(1, self.total_steps // 10))
        self.validate_every = config.validate_every_steps or period
        self.save_every = config.save_every_steps or period
        self.step, self.best = 0, math.inf
        torch.manual_seed(config.seed)
        model = build_model(config.model, self.task.outputs, config.height, **config.model_options)
        self.model: nn.Module = model.to(self.device, self.dtype)
        if config.sync_batchnorm:
            synchronise_batchnorm(self.model, world.sum)
        if payload:
            check_resumable(payload, self.identity(), str(run), config.shards)

    def open_stream(self, split: str) -> Stream:
        c, world = self.config, self.world
        training = split == "train"
        options = StreamOptions(
            split=split,
            seed=c.seed,
            lanes=c.lanes,
            global_batch=c.global_batch if training else 2 * c.global_batch,
            window=c.window,
            shuffle=training,
            augmentation=c.augmentation if training and c.augment else None,
            decoder=c.decoder,
            replaces_damaged=training,
            rank=world.rank,
            world_size=world.world_size,
            workers=choose_workers(c.workers, self.device) if training else 0,
        )
        return Stream(self.store, self.geometry, options)

    def start(self, payload: dict | None) -> None:
        """Wrap, then load, then broadcast: a wrapper drops what was loaded before it. Collective."""
        world = self.world
        self.optimizer = world.reduce_gradients(
            build_optimizer(self.model, self.config.weight_decay), self.model.named_parameters()
        )
        torch.manual_seed(seed_of_rank(self.config.seed, world.rank))
        if payload:
            self.model.load_state_dict(payload["model"])
            # as an object: hvd.broadcast_optimizer_state takes a real step on ranks whose state is empty
            self.optimizer.load_state_dict(payload["optimizer"])
            self.step, self.best = payload["step"], payload["best"]
            if len(payload["rng"]) == world.world_size:
                generator_of(self.device).set_state(payload["rng"][world.rank])
        world.broadcast_tensors(self.model.state_dict())
        self.check_agreement()
        self.log = RunLog(self.run, world.is_root, self.step)
        for line in self.opening_lines():
            self.log.line(line)
        self.is_finite = torch.ones((), dtype=torch.bool, device=self.device)
        self.interval = Interval(self.device)
        self.damage = DamageTally(world, self.train_stream.shards, self.config.max_bad)
        self.val_damage = DamageTally(world, self.index.of("val"), self.config.max_bad)

    def opening_lines(self) -> list[str]:
        """What runs on what: all settings, the shards, the model."""
        c, index = self.config, self.index
        letters, parameters = self.task.outputs - 1, sum(p.numel() for p in self.model.parameters())
        settings = ", ".join(f"{name}={value}" for name, value in c.to_dict().items())
        return [
            f"{'resume' if self.step else 'train'} {self.run}: {self.world.world_size} ranks on {self.device.type}, "
            f"{self.precision}, {torch.get_num_threads()} threads a rank",
            f"settings: {settings}",
            f"shards {c.shards}: {index.totals}, {letters} letters, profile {index.profile.name}, widths "
            + " ".join(str(self.geometry.width_px(number)) for number in range(len(index.aspect_edges)))
            + f" x {self.geometry.height} px; {self.train_stream.decoder.names}",
            f"model {c.model}: {parameters:,} parameters; {self.steps_per_epoch} steps an epoch, steps {self.step} to "
            f"{self.total_steps}; validates every {self.validate_every}, saves every {self.save_every}",
            "blank is the share of frames without a letter: near 1 for the first few hundred steps, then it falls",
        ]

    def run_steps(self) -> None:
        self.model.train()
        waiting_s = time.monotonic()
        for batch in prefetch(self.train_stream.batches(self.step, self.total_steps), self.device):
            self.interval.wait_s += time.monotonic() - waiting_s
            self.damage.add(batch.damage)
            self.take_step(batch)
            self.after_step()
            waiting_s = time.monotonic()
        self.log.line(f"done: {self.total_steps} steps; {self.run}; read the test split with: horovod-ocr eval")

    def take_step(self, batch: Batch) -> None:
        """One optimizer step; the same on every rank, whatever part of the batch it holds."""
        lr = learning_rate(self.step, self.total_steps, self.config.lr, self.config.warmup_share)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad()
        # a rank without samples sends zeros; but synchronised BatchNorm asks every rank for its sums
        if len(batch) or self.config.sync_batchnorm:
            images_N1HW = normalise_images(batch.images_NHW, self.device, self.dtype)
            with autocast(self.device, self.precision):
                logits_TNC = self.model(images_N1HW)
            frames_N = frames_of(batch.reach_N, self.model.frame_stride_px)
            loss_sum, too_long = self.task.loss_sum(logits_TNC, frames_N, batch.labels)
            # divided by the global count, summed over ranks: exact for unequal shares
            (loss_sum / batch.global_samples).backward()
            self.interval.add(loss_sum.detach(), logits_TNC.detach(), too_long)
        self.interval.count(batch)
        self.update_weights()
        self.step += 1

    def update_weights(self) -> None:
        """Wait for the summed gradients, clip them by their global norm, step."""
        parameters = list(self.model.parameters())
        if self.world.world_size == 1:
            self.gradient_norm = nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
            self.optimizer.step()
        else:
            self.optimizer.synchronize()
            self.gradient_norm = nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
            with self.optimizer.skip_synchronize():
                self.optimizer.step()
        # summed gradients are equal on all ranks, so all ranks see the same flag without asking each other
        self.is_finite &= self.gradient_norm.isfinite()

    def after_step(self) -> None:
        is_last = self.step == self.total_steps
        logs = self.step % self.config.log_every_steps == 0 or is_last
        validates = self.val_stream is not None and (self.step % self.validate_every == 0 or is_last)
        saves = self.step % self.save_every == 0 or validates or is_last
        if logs or saves:
            self.check_finite()
            self.check_damage()
        if logs:
            self.log_interval()
        if validates or saves:
            paused_s = time.monotonic()
            average_statistics(self.model, self.world.sum, self.world.world_size)
            is_best = self.validate() if validates else False
            self.save(is_best)
            self.interval.started_s += time.monotonic() - paused_s

    def check_finite(self) -> None:
        if not bool(self.is_finite):
            sentence = (
                f"step {self.step}: a gradient is not finite (loss or learning rate ran away); "
                f"lower lr ({self.config.lr}) or give --precision fp32, and go on with --resume"
            )
            raise agreed(DivergedError(sentence))

    def check_damage(self) -> None:
        """Stop where too many samples cannot be read, but save: once the set is mended, the run goes on. Collective."""
        try:
            self.damaged = self.damage.agree()
        except ShardError:
            average_statistics(self.model, self.world.sum, self.world.world_size)
            self.save(is_best=False)
            raise

    def log_interval(self) -> None:
        steps = self.interval.steps
        values = {
            "epoch": self.step / self.steps_per_epoch,
            "lr": self.optimizer.param_groups[0]["lr"],
            "gradient_norm": float(self.gradient_norm),
            **self.interval.summarise(self.world),
            "damaged": self.damaged,
        }
        passed_s = values.pop("passed_s")
        values["eta_s"] = (self.total_steps - self.step) * passed_s / steps
        self.log.numbers("train", self.step, values)
        self.log.line(step_line(self.step, self.total_steps, values, passed_s))
        self.interval = Interval(self.device)

    def validate(self) -> bool:
        """Score the val split over all ranks; is it the best so far? Collective."""
        started_s = time.monotonic()
        scores = evaluate(
            self.model, self.task, self.val_stream, self.world, self.device, self.precision, self.val_damage
        )
        values = scores_of(scores.counts)
        is_best = values["cer"] < self.best
        self.best = min(self.best, values["cer"])
        self.log.numbers("val", self.step, values)
        took_s = time.monotonic() - started_s
        self.log.line(val_line(self.step, self.total_steps, values, took_s, is_best))
        return is_best

    def save(self, is_best: bool) -> None:
        """Root writes the checkpoint; where it cannot, every rank stops with the same sentence. Collective."""
        payload = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "rng": self.world.gather(generator_of(self.device).get_state()),
            "config": self.config.to_dict(),
            **self.identity(),
            "versions": {"torch": str(torch.__version__)},
        }
        keep, is_root = self.config.keep_checkpoints, self.world.is_root
        self.world.together(lambda: save_checkpoint(self.run, self.step, payload, is_best, keep) if is_root else None)

    def identity(self) -> dict:
        """What a run must keep to go on exactly where it was: the model, and the samples that the next steps hold."""
        c = self.config
        names = ("seed", "lanes", "global_batch", "window")
        return {
            "task": self.task.to_dict(),
            "model_name": c.model,
            "model_options": c.model_options,
            "geometry": self.geometry.to_dict(),
            "plan": {"index_digest": self.index.digest, **{name: getattr(c, name) for name in names}},
        }

    def check_agreement(self) -> None:
        """ClusterError unless all ranks hold the same weights. Collective."""
        digest = hashlib.sha256()
        for tensor in self.model.state_dict().values():
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        digests = self.world.gather(digest.hexdigest())
        odd = [rank for rank, other in enumerate(digests) if other != digests[0]]
        if odd:
            sentence = f"ranks {odd} hold other weights than rank 0 after the broadcast; check their torch builds"
            raise agreed(ClusterError(sentence))
