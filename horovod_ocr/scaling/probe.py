"""Measures the ways to exchange, on every rank of a job. `measure.py` starts it by horovodrun; root prints one line.

Each way trains a model of its own, as training does: forward and backward, exchange, clipping, update.
"""

import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import nn

from horovod_ocr.config.sources import load_config
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.data_parallel import DataParallelWorld
from horovod_ocr.distributed.device import choose_device
from horovod_ocr.distributed.exchange.allreduce import GROUP_BYTES, group_parameters
from horovod_ocr.distributed.gpus import find_gpus
from horovod_ocr.distributed.launcher import Meeting, rank_of_process
from horovod_ocr.distributed.open import open_world
from horovod_ocr.distributed.torch_engine import init_torch
from horovod_ocr.distributed.watchdog import Watchdog
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import OcrError
from horovod_ocr.launch.hosts.ask_ranks import print_answer
from horovod_ocr.scaling.bare import Bare, wait_for
from horovod_ocr.scaling.figures import Job, Timeline, WayFigures
from horovod_ocr.scaling.forecast import Work, forecast_s
from horovod_ocr.scaling.request import Request
from horovod_ocr.scaling.steps import Steps
from horovod_ocr.scaling.subject import Asleep, Recipe, Subject
from horovod_ocr.scaling.ways import WAYS, Way

LIMIT_S = 300  # a rank without progress for this long ends itself
WARM_UP = 2  # steps
MOST_ROUNDS = 30


def main() -> None:
    request = Request(**json.loads(sys.argv[1]))
    try:
        # a rank that waits for another that never comes ends itself, on every host
        with Watchdog(LIMIT_S, rank_of_process() or 0) as watchdog:
            world = open_world()
            with world.guard("the measurement"):
                answer = Probe(world, request, watchdog).measure()
    except OcrError as error:
        sys.exit(str(error))
    if world.is_root:
        print_answer(answer)


class Probe:
    """One rank's part of a job."""

    def __init__(self, world: World, request: Request, watchdog: Watchdog):
        """Collective."""
        self.world, self.request, self.watchdog = world, request, watchdog
        self.device = choose_device(world, request.device).device
        self.subject = self.build_subject(world, request.samples)
        self.bare = Bare(self.device, request.seconds, self.reached)

    def build_subject(self, world: World, samples: int) -> Subject:
        """Collective in `world`. samples: of a rank in a step."""
        asked = self.request
        if asked.step_ms is not None:
            torch.set_num_threads(1)  # hosts of a test bed share the cores of one machine
            return Asleep(asked.parameters, asked.step_ms / 1000, samples, self.device)
        config = world.collectively(lambda: load_config(asked.recipe or "", asked.settings or {}))
        return Recipe(config, samples, world, self.device)

    def measure(self) -> dict[str, Any]:
        """Everything that was asked for. Collective."""
        world = self.world
        bare = Steps(self.subject, AloneWorld(), WAYS["allreduce"], self.request.local_steps)
        timeline = self.timeline_of(bare)
        if world.world_size > 1:
            self.bare.time_link(world, WAYS["allreduce"], timeline.size)
        ways: dict[str, WayFigures] = {}
        left_out: dict[str, str] = {}
        for name in self.request.ways:
            self.reached(f"a step of {name}")
            try:
                # an error is one of all ranks, so that all of them go on
                ways[name] = self.measure_way(WAYS[name], timeline)
            except LeftOut as why:
                left_out[name] = str(why)
        job = Job(world.world_size, self.subject.samples, self.bare.bare_s, self.bare.call_s, timeline, ways, left_out)
        weights = bare.update.exchange.weights
        return {
            "job": asdict(job),
            "model": self.subject.name,
            "parameters": sum(weight.numel() for weight in weights),
            "device": self.device.type,
        }

    def reached(self, what: str) -> None:
        self.watchdog.reached(0, what)

    def timeline_of(self, steps: Steps) -> Timeline:
        """Of steps in which this rank exchanges nothing."""
        groups = group_parameters(list(steps.update.parameters), GROUP_BYTES)
        ready = [0.0] * len(groups)

        def note(number: int) -> Callable[[nn.Parameter], None]:
            def arrived(parameter: nn.Parameter) -> None:
                wait_for(self.device)
                ready[number] = time.perf_counter() - steps.started_s  # of its last parameter

            return arrived

        hooks = [
            parameter.register_post_accumulate_grad_hook(note(number))  # type: ignore[no-untyped-call]
            for number, group in enumerate(groups)
            for parameter in group
        ]
        seen = []
        for _ in range(WARM_UP + 3):
            self.begin_together()
            steps.take()
            seen.append(list(ready))
        for hook in hooks:
            hook.remove()
        medians = [statistics.median(times) for times in zip(*seen[WARM_UP:], strict=True)]
        return Timeline(tuple(medians), tuple(sum(each.nbytes for each in group) for group in groups))

    def measure_way(self, way: Way, timeline: Timeline) -> WayFigures:
        """Collective. Raises LeftOut, on all ranks, if it cannot be measured."""
        world, local_steps = self.world, self.request.local_steps
        if way.engine == "data-parallel":
            return self.measure_data_parallel(way)
        alone = Steps(self.subject, AloneWorld(), way, local_steps)
        own_s, _ = self.time_steps(alone, self.request.seconds / 4, world, self.begin_together)
        if world.world_size == 1:
            return WayFigures(own_s, own_s, 0)
        of_way = world if way.engine == "horovod" else self.meet_in_torch()
        self.bare.time_link(of_way, way, timeline.size)
        self.check_time(way, timeline, own_s)
        steps = Steps(self.subject, of_way, way, local_steps)
        before = replace(of_way.traffic)
        step_s, measured = self.time_steps(steps, self.request.seconds, world)
        moved = (of_way.traffic.sent - before.sent, of_way.traffic.received - before.received)
        every = world.gather(moved)
        sent, received = (tuple(each / steps.taken for each in all_ranks) for all_ranks in zip(*every, strict=True))
        return WayFigures(own_s, step_s, measured, sent, received)

    def measure_data_parallel(self, way: Way) -> WayFigures:
        """Root computes on as many GPUs as there are ranks, with the samples of all; the others wait. Collective.
        LeftOut, on all ranks, if it cannot."""
        world, gpus = self.world, find_gpus().numbers
        why = "" if len(gpus) >= world.world_size else f"needs {world.world_size} GPUs in one process, not {len(gpus)}"
        if self.request.step_ms is not None:
            why = "a model that sleeps computes on no GPU"
        if why := world.broadcast(why):
            raise LeftOut(why)
        figures = None
        if world.is_root:
            alone = AloneWorld()
            subject = self.build_subject(alone, self.request.samples * world.world_size)
            steps = Steps(subject, DataParallelWorld(gpus[: world.world_size]), way, 1)
            step_s, measured = self.time_steps(steps, self.request.seconds, alone)
            figures = WayFigures(step_s, step_s, measured)
        measured_by_root: WayFigures = world.broadcast(figures)
        return measured_by_root

    def begin_together(self) -> None:
        """So that ranks that share cores are in each other's way as when they exchange. Collective."""
        self.world.sum(torch.zeros(1))

    def time_steps(
        self, steps: Steps, seconds: float, world: World, before_round: Callable[[], None] = lambda: None
    ) -> tuple[float, int]:
        """(seconds of a step of the slowest rank, steps measured): median over rounds, which end with a meeting.
        Collective in `world`.

        before_round: its time is not counted.
        """
        length = steps.round_steps
        warm_up_s = [steps.take() for _ in range(max(WARM_UP, length))]
        round_s = sum(warm_up_s[-length:])
        rounds = world.broadcast(max(3 if length == 1 else 1, min(MOST_ROUNDS, int(seconds / round_s))))
        world.gather(None)
        seen = []
        for _ in range(rounds):
            before_round()
            seen.append(sum(steps.take() for _ in range(length)) / length)
            self.reached("the next step")
        return max(world.gather(statistics.median(seen))), rounds * length

    def check_time(self, way: Way, timeline: Timeline, own_s: float) -> None:
        """LeftOut if a few steps would take much longer than is given for them."""
        ranks = self.world.world_size
        links = Job(ranks, 0, self.bare.bare_s, self.bare.call_s, timeline, {}).links()
        local_steps = self.request.local_steps if way.is_local else 1
        work = Work(timeline, own_s, 1.0, local_steps)
        step_s = self.world.broadcast(forecast_s(way, work, links, ranks))
        if step_s * local_steps > self.request.seconds:
            raise LeftOut(f"forecast only: {local_steps} steps take about {step_s * local_steps:.0f} s")

    def meet_in_torch(self) -> World:
        """The same ranks in torch.distributed. LeftOut if they do not meet there."""
        address, port = self.world.broadcast((own_address(), free_port()) if self.world.is_root else None)
        try:
            meeting = Meeting(self.world.rank, self.world.world_size, address, port)
            joined: World = self.world.collectively(lambda: init_torch(meeting))
            return joined
        except OcrError as error:
            raise LeftOut(str(error)) from error


class LeftOut(Exception):
    """Why a way is not measured."""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return int(free.getsockname()[1])


def own_address() -> str:
    """Of this host, in the network in which horovodrun waits for the ranks."""
    meeting = os.environ.get("HOROVOD_GLOO_RENDEZVOUS_ADDR", "127.0.0.1")
    family = socket.AF_INET6 if ":" in meeting else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as towards:
        towards.connect((meeting, 9))  # sends nothing; only chooses the interface
        return str(towards.getsockname()[0])


if __name__ == "__main__":
    main()
