"""Measures the ways to exchange, on every rank of a job. `measure.py` starts it by horovodrun; root prints one line.

Each way trains a model of its own, as training does: forward and backward, exchange, clipping, update.
"""

import json
import sys
from dataclasses import asdict, replace
from typing import Any

import torch

from horovod_ocr.config.sources import load_config
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.device import choose_device
from horovod_ocr.distributed.launcher import rank_of_process
from horovod_ocr.distributed.open import open_world
from horovod_ocr.distributed.watchdog import Watchdog
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import OcrError
from horovod_ocr.launch.hosts.ask_ranks import print_answer
from horovod_ocr.scaling.all_gpus import measure_data_parallel
from horovod_ocr.scaling.bare import Bare
from horovod_ocr.scaling.figures import Job, Timeline, WayFigures
from horovod_ocr.scaling.forecast import unmeasured_s
from horovod_ocr.scaling.request import Request
from horovod_ocr.scaling.steps import Steps, time_steps, timeline_of, travelling
from horovod_ocr.scaling.subject import Asleep, Recipe, Subject
from horovod_ocr.scaling.torch_beside import meet_in_torch
from horovod_ocr.scaling.ways import WAYS, LeftOut, Way

LIMIT_S = 300  # a rank without progress for this long ends itself


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
        self.travelling = travelling(self.subject.build_model(), request.powersgd_rank)

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
        timeline = timeline_of(self.steps_of(AloneWorld(), WAYS["allreduce"]), world)
        if world.world_size > 1:
            self.bare.time_link(world, WAYS["allreduce"], timeline.size)
        ways: dict[str, WayFigures] = {}
        left_out: dict[str, str] = {}
        for name in self.request.ways:
            self.reached(f"a step of {name}")
            try:
                # LeftOut is raised on all ranks, so that all of them go on
                ways[name] = self.measure_way(WAYS[name], timeline)
            except LeftOut as why:
                left_out[name] = str(why)
        return {
            "job": asdict(self.job_of(timeline, ways, left_out)),
            "model": self.subject.name,
            "parameters": timeline.size // 4,
            "device": self.device.type,
        }

    def job_of(self, timeline: Timeline, ways: dict[str, WayFigures], left_out: dict[str, str]) -> Job:
        """What is known of this job so far."""
        (shares, groups), bare, samples = self.travelling, self.bare, self.subject.samples
        return Job(self.world.world_size, samples, bare.bare_s, bare.call_s, timeline, ways, shares, groups, left_out)

    def steps_of(self, world: World, way: Way) -> Steps:
        """Of a new model. Collective in `world`."""
        return Steps(self.subject, world, way, self.request.local_steps, self.request.powersgd_rank)

    def reached(self, what: str) -> None:
        self.watchdog.reached(0, what)

    def measure_way(self, way: Way, timeline: Timeline) -> WayFigures:
        """Collective. Raises LeftOut, on all ranks, if it cannot be measured."""
        world = self.world
        if way.engine == "data-parallel":
            return measure_data_parallel(
                world, self.build_subject, self.request, self.device.type == "cuda", self.reached
            )
        of_way = world
        if way.engine == "torch" and world.world_size > 1:
            try:
                of_way = meet_in_torch(world)
            except OcrError as error:
                raise LeftOut(str(error)) from error
            if self.device.type == "cuda" and of_way.gpu_problem:
                raise LeftOut(of_way.gpu_problem)
        if world.world_size > 1:
            self.bare.time_link(of_way, way, timeline.size)
        self.check_time(way, timeline)
        alone = self.steps_of(AloneWorld(), way)
        own_s, measured = time_steps(alone, self.request.seconds / 4, world, self.reached, begin_together=True)
        if world.world_size == 1:
            return WayFigures(own_s, own_s, measured)
        steps = self.steps_of(of_way, way)
        before = replace(of_way.traffic)
        step_s, measured = time_steps(steps, self.request.seconds, world, self.reached)
        moved = (of_way.traffic.sent - before.sent, of_way.traffic.received - before.received)
        every = world.gather(moved)
        sent, received = (tuple(each / steps.taken for each in all_ranks) for all_ranks in zip(*every, strict=True))
        return WayFigures(own_s, step_s, measured, sent, received)

    def check_time(self, way: Way, timeline: Timeline) -> None:
        """LeftOut if a few steps would take much longer than is given for them. Collective."""
        if way == WAYS["allreduce"]:  # all forecasts need it
            return
        steps = self.request.local_steps if way.is_local else 1
        step_s = unmeasured_s(self.job_of(timeline, {}, {}), way, self.request.local_steps)
        if self.world.broadcast(step_s * steps > self.request.seconds):
            several = f"{steps} steps take" if steps > 1 else "a step takes"
            raise LeftOut(f"forecast only: {several} about {step_s * steps:.0f} s; give more --seconds")


if __name__ == "__main__":
    main()
