"""Training: read top to bottom from `train`.

Shapes: N images, H height, W width, T frames, C classes.
"""

import math
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from horovod_ocr.checkpoint.restore import load_generator, load_state
from horovod_ocr.checkpoint.saver import Saver
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.batch import Batch, normalise_images, prefetch
from horovod_ocr.data.forecast import steps_of_run
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.splits import unseen_split
from horovod_ocr.data.loader_workers import killed_workers_named
from horovod_ocr.distributed.damaged_samples import DamagedSamples
from horovod_ocr.distributed.device import autocast, first_contact, generator_of, seed_of_rank
from horovod_ocr.distributed.votes import SkippedUpdates, StopSaveVote, address_of, check_same_weights, share_warnings
from horovod_ocr.distributed.watchdog import Watchdog
from horovod_ocr.distributed.world import World, raised_on_all_ranks
from horovod_ocr.errors import CheckpointError, ShardError
from horovod_ocr.evaluation.evaluate import evaluate, frames_of
from horovod_ocr.models.batchnorm import average_statistics, synchronise_batchnorm
from horovod_ocr.models.build import build_model
from horovod_ocr.run.log import RunLog
from horovod_ocr.run.signals import StopSignals
from horovod_ocr.run.state import Heartbeat, RunStatus
from horovod_ocr.tasks.words import WordTask
from horovod_ocr.text.metrics import scores_of
from horovod_ocr.training.interval import Interval
from horovod_ocr.training.lines import step_line, straggler_line, unvalidated_line, val_line
from horovod_ocr.training.optim import learning_rate
from horovod_ocr.training.profile import Profile
from horovod_ocr.training.setup import Beginning, begin, check_resumable, identity_of, open_streams
from horovod_ocr.training.update import Exchange, split_batch


def train(config: TrainConfig, world: World) -> Path:
    """Train as the config says and return the run's folder. Every rank must call this.

    Asked to stop (a signal, or a request in the run's folder), it saves and returns as well. Raises the same OcrError
    on every rank for what can be known before the first step; DivergedError when the loss or a gradient is not finite
    again and again, or when ranks hold different weights.
    """
    with Watchdog(config.ranks.stall_timeout_s, world.rank) as watchdog:
        with world.guard("training"):
            beginning = begin(config, world, watchdog)
            session = world.collectively(lambda: Session(config, world, beginning, watchdog))
            session.start(beginning.payload)
        session.work()
    return session.run


class Session:
    """One process's part of a training run."""

    def __init__(self, config: TrainConfig, world: World, beginning: Beginning, watchdog: Watchdog):
        self.config, self.world, self.watchdog = config, world, watchdog
        self.run, self.store, payload = beginning.run, beginning.store, beginning.payload
        self.index = index = self.store.index
        self.device, self.precision, self.why_cpu = beginning.device, beginning.precision, beginning.why_cpu
        self.dtype = torch.float64 if self.precision == "fp64" else torch.float32
        self.task = WordTask.of(index)
        self.geometry = Geometry(config.height, index.bucket_edges)
        self.train_stream, self.val_stream = open_streams(
            config, world, self.store, self.geometry, self.device.type == "cuda", beginning.cores
        )
        self.steps_per_epoch = self.train_stream.steps
        self.total_steps = steps_of_run(config.plan.steps, config.plan.epochs, config.plan.min_steps, self.steps_per_epoch)
        period = min(5000, max(1, self.total_steps // 10))
        self.validate_every = config.log.validate_every_steps or period
        self.save_every = config.checkpoints.save_every_steps or period
        self.step, self.best, self.stop_reason = 0, math.inf, ""
        self.gradient_norm = torch.zeros((), device=self.device)
        self.signals = StopSignals()
        self.heartbeat = Heartbeat(self.run, world.is_root, self.total_steps, world.world_size)
        self.identity = identity_of(config, self.task.to_dict(), self.geometry, index.digest)
        torch.manual_seed(config.seed)
        model = build_model(config.model, self.task.outputs, config.height, **config.model_options)
        self.model: nn.Module = model.to(self.device, self.dtype)
        if config.ranks.sync_batchnorm:
            synchronise_batchnorm(self.model, world.sum, world.rank, world.world_size)
        if payload:
            check_resumable(payload, self.identity, str(self.run), config.data.shards, self.total_steps)

    def start(self, payload: dict | None) -> None:
        """Wrap, then load, then broadcast: a wrapper drops what was loaded before it. Collective."""
        world, c, is_root = self.world, self.config, self.world.is_root
        self.exchange = Exchange(world, self.model, c.optimizer.weight_decay, c.ranks.compression == "fp16", c.ranks.accumulate)
        torch.manual_seed(seed_of_rank(c.seed, world.rank))
        if payload:
            world.collectively(lambda: load_state(payload, self.model, self.exchange.optimizer))
            load_generator(payload["rng"], generator_of(self.device), world)
            self.step, self.best = payload["step"], payload["best"]
        self.reached(first_contact(self.device))
        world.broadcast_tensors(self.model.state_dict())
        check_same_weights(world, self.model.state_dict(), "after the broadcast")
        self.hosts = world.gather(socket.gethostname())
        self.log = world.collectively(lambda: RunLog(self.run, world.rank, self.step))
        kept = c.checkpoints.keep_checkpoints, c.checkpoints.keep_epochs
        self.saver = world.collectively(lambda: Saver(self.run, *kept, self.device.type == "cuda") if is_root else None)
        self.saved_s = time.monotonic()
        self.profile = Profile(c.log.profile, self.run, world.rank, self.device, self.total_steps)
        self.interval = Interval(self.device)
        self.skipped = SkippedUpdates(
            world, c.optimizer.most_skipped, lambda *sample: address_of(self.store, self.train_stream, *sample)
        )
        self.damage = DamagedSamples(world, self.train_stream.shards, c.data.max_bad)
        self.val_damage = DamagedSamples(world, self.index.of("val"), c.data.max_bad)
        self.log.note(f"rank {world.rank} of {world.world_size} on {socket.gethostname()}, from step {self.step}")
        for line in self.opening_lines():
            self.log.line(line)

    def opening_lines(self) -> list[str]:
        """What runs on what: all settings, the shards, the model."""
        c, index = self.config, self.index
        ranks = f"{self.world.world_size} rank{'s' * (self.world.world_size > 1)}"
        letters, parameters = self.task.outputs - 1, sum(p.numel() for p in self.model.parameters())
        settings = ", ".join(f"{name}={value}" for name, value in c.to_dict().items())
        validates = f"validates every {self.validate_every}, " if self.val_stream else ""
        return [
            f"{'resume' if self.step else 'train'} {self.run}: {ranks} on {self.device.type}"
            f"{self.why_cpu and f' ({self.why_cpu})'}, {self.precision}, {torch.get_num_threads()} threads and "
            f"{self.train_stream.options.workers} loader workers a rank",
            f"settings: {settings}",
            f"shards {c.data.shards}: {index.counts.totals}, {letters} letters, profile {index.profile.name} "
            f"({index.profile.direction}), widths "
            + " ".join(str(self.geometry.width_px(number)) for number in range(len(index.bucket_edges)))
            + f" x {self.geometry.height} px; {self.train_stream.decoder.names}",
            f"model {c.model}: {parameters:,} parameters; {self.steps_per_epoch} steps an epoch, steps {self.step} to "
            f"{self.total_steps}; {validates}saves every {self.save_every}",
            *([] if self.val_stream else [unvalidated_line(c.data.shards, index)]),
            "blank is the share of frames without a letter: near 1 for the first few hundred steps, then it falls",
        ]

    def work(self) -> None:
        """Train to the end, or until asked to stop. However it ends, the run's folder says so. Collective."""
        with ExitStack() as stack:
            stack.callback(self.log.close)
            for context in (self.signals, self.heartbeat):
                stack.enter_context(context)
            try:
                with self.world.guard("training"), killed_workers_named():
                    self.run_steps()
                    self.world.collectively(lambda: self.saver.close() if self.saver else None)
            except Exception as error:
                self.heartbeat.leave(RunStatus.FAILED, (str(error) or type(error).__name__).splitlines()[0])
                raise
            if self.step < self.total_steps:
                self.heartbeat.leave(RunStatus.STOPPED, self.stop_reason)
                self.log.line(f"stopped at step {self.step}: {self.stop_reason}; saved; go on with --resume")
            else:
                self.heartbeat.leave(RunStatus.FINISHED)
                split = unseen_split(self.index)
                reads = f"; read the {split} split with: horovod-ocr eval" if split else ""
                self.log.line(f"done: {self.total_steps} steps; {self.run}{reads}")

    def run_steps(self) -> None:
        """All that are left, or until some rank wants to stop."""
        self.model.train()
        waiting_s = time.monotonic()
        self.reached("its data")
        for batch in prefetch(self.train_stream.batches(self.step, self.total_steps), self.device):
            self.interval.wait_s += time.monotonic() - waiting_s
            self.damage.add(batch.damage)
            self.profile.before(self.step + 1)
            wishes = StopSaveVote(self.world, self.signals.received or self.heartbeat.request, self.is_save_due())
            self.take_step(batch)
            self.stop_reason, saves = wishes.agree()
            self.after_step(saves or bool(self.stop_reason))
            if path := self.profile.after(self.step):
                self.log.line(f"profile written: {path}")
            if self.stop_reason:
                break
            waiting_s = time.monotonic()
            self.reached("its data")

    def reached(self, waits_for: str) -> None:
        """Progress, for those who watch: at this step, and the next thing to wait for."""
        self.heartbeat.step = self.step
        self.watchdog.reached(self.step, waits_for)

    def is_save_due(self) -> bool:
        """By the clock of root."""
        minutes = self.config.checkpoints.save_every_minutes
        return self.world.is_root and minutes > 0 and time.monotonic() - self.saved_s > 60 * minutes

    def take_step(self, batch: Batch) -> None:
        """One optimizer step; the same on every rank, whatever part of the batch it holds."""
        self.reached("its own computation")
        finite_N = self.compute_gradients(batch)
        self.interval.count(batch)
        self.reached("the gradients of the other ranks")
        lr = learning_rate(self.step, self.total_steps, self.config.optimizer.lr, self.config.optimizer.warmup_share)
        norm, is_finite = self.exchange.update(lr, self.config.optimizer.clip_norm)
        self.gradient_norm = torch.where(is_finite, norm, self.gradient_norm)
        self.step += 1
        self.skipped.note(self.step, is_finite, batch, finite_N)

    def compute_gradients(self, batch: Batch) -> Tensor:
        """Forward and backward over this rank's share, part after part. Returns which samples' figures are finite."""
        self.exchange.begin()
        finite = []
        for part in split_batch(len(batch), self.config.ranks.accumulate):
            # a rank without samples sends zeros; but synchronised BatchNorm asks every rank for its sums
            if part.start == part.stop and not self.config.ranks.sync_batchnorm:
                self.exchange.zero_loss().backward()
                continue
            images_N1HW = normalise_images(batch.images_NHW[part], self.device, self.dtype)
            with autocast(self.device, self.precision):
                logits_TNC = self.model(images_N1HW)
            frames_N = frames_of(batch.valid_width_N[part], self.model.frame_stride_px)
            losses_N, too_long = self.task.losses(logits_TNC, frames_N, batch.labels[part])
            # divided by the global count, summed over ranks: exact for unequal shares
            loss = losses_N.sum() / batch.global_samples
            (loss if len(losses_N) else loss + self.exchange.zero_loss()).backward()
            # of the logits, too: for them CTC finds no path, which counts as a loss of zero
            finite.append(losses_N.isfinite() & logits_TNC.isfinite().all(2).all(0))
            self.interval.add(losses_N.detach(), logits_TNC.detach(), too_long)
        return torch.cat(finite) if finite else torch.ones(0, dtype=torch.bool)

    def after_step(self, saves: bool) -> None:
        """Say, check, validate and save what is due; `saves`: some rank wants to. Collective."""
        c, is_last = self.config, self.step == self.total_steps
        logs = self.step % c.log.log_every_steps == 0 or is_last
        validates = self.val_stream is not None and (self.step % self.validate_every == 0 or is_last)
        saves |= self.step % self.save_every == 0 or validates or is_last
        if c.ranks.check_ranks_every_steps and self.step % c.ranks.check_ranks_every_steps == 0:
            check_same_weights(self.world, dict(self.model.named_parameters()), f"step {self.step}")
        # a GPU would be waited for at each step
        if self.device.type == "cpu" or logs or saves or len(self.skipped.pending) >= c.optimizer.most_skipped:
            self.skipped.settle()
        if logs or saves:
            with self.saving_before_it_stops():
                self.damaged = self.damage.agree()
        if logs:
            self.log_interval()
        if validates or saves:
            paused_s = time.monotonic()
            average_statistics(self.model, self.world.sum, self.world.world_size)
            with self.saving_before_it_stops():
                is_best = self.validate() if validates else False
            self.save(is_best)
            self.interval.started_s += time.monotonic() - paused_s

    @contextmanager
    def saving_before_it_stops(self) -> Iterator[None]:
        """Where too many samples cannot be read: once the set is mended, the run goes on. Collective."""
        try:
            yield
        except ShardError:
            average_statistics(self.model, self.world.sum, self.world.world_size)
            self.save(is_best=False)
            self.world.collectively(lambda: self.saver.close() if self.saver else None)
            raise

    def log_interval(self) -> None:
        self.interval.waited_s, self.exchange.waited_s = self.exchange.waited_s, 0.0
        values = {
            "epoch": self.step / self.steps_per_epoch,
            "lr": self.exchange.optimizer.param_groups[0]["lr"],
            "gradient_norm": float(self.gradient_norm),
            **self.interval.summarise(self.world),
            "damaged": self.damaged,
            "skipped": self.skipped.count,
        }
        passed_s = values.pop("passed_s")
        values["eta_s"] = (self.total_steps - self.step) * passed_s / self.interval.steps
        self.log.numbers("train", self.step, values)
        self.log.line(step_line(self.step, self.total_steps, values, passed_s))
        if straggles := straggler_line(values, self.hosts, self.interval.steps):
            self.log.line(straggles)
        share_warnings(self.world, self.log, self.hosts)
        self.interval = Interval(self.device)

    def validate(self) -> bool:
        """Score the val split over all ranks; is it the best so far? Collective."""
        started_s = time.monotonic()
        scores = evaluate(
            self.model,
            self.task,
            self.val_stream,
            self.world,
            self.device,
            self.precision,
            self.val_damage,
            lambda done, steps: self.reached(f"batch {done} of {steps} of the val split"),
        )
        values = scores_of(scores.counts)
        is_best = values["cer"] < self.best
        self.best = min(self.best, values["cer"])
        self.log.numbers("val", self.step, values)
        took_s = time.monotonic() - started_s
        self.log.line(val_line(self.step, self.total_steps, values, took_s, is_best))
        return is_best

    def save(self, is_best: bool) -> None:
        """Root writes a checkpoint beside the training. Too many failures in a row stop every rank. Collective."""
        self.reached("the checkpoint")
        epoch = self.step / self.steps_per_epoch
        payload = {
            "model": self.model.state_dict(),
            "optimizer": self.exchange.optimizer.state_dict(),
            "best": self.best,
            "epoch": epoch,
            "rng": self.world.gather(generator_of(self.device).get_state()),
            "config": self.config.to_dict(),
            **self.identity,
            "versions": {"torch": str(torch.__version__)},
        }
        self.saved_s = time.monotonic()
        self.world.collectively(lambda: self.saver.save(self.step, epoch, payload, is_best) if self.saver else None)
        complaint = self.world.broadcast(self.saver.complaint(self.config.checkpoints.most_failed_saves) if self.saver else "")
        if complaint:
            raise raised_on_all_ranks(CheckpointError(complaint))
