"""Which world this process belongs to."""

import os
import sys
from importlib.util import find_spec

from horovod_ocr.config.train import check_engine
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.data_parallel import open_data_parallel
from horovod_ocr.distributed.gpus import has_nvidia_driver
from horovod_ocr.distributed.horovod import init_horovod
from horovod_ocr.distributed.launcher import (
    choose_engine,
    is_of_pods,
    is_of_srun,
    launched_ranks,
    meeting_of,
    started_ranks,
)
from horovod_ocr.distributed.torch_engine import init_torch
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import ClusterError


def open_world(engine: str = "auto", trains: bool = True) -> World:
    """The world this process belongs to: of the engine that its launcher serves, or a world of one. Collective.

    engine: as in RanksConfig. trains: without it, data-parallel is a world of one on any device: nothing but training
    divides a batch among GPUs. Raises ConfigError if the launcher serves another engine, ClusterError if the engine is
    not there or the ranks do not meet.
    """
    check_engine(engine)
    world: World = AloneWorld()
    is_typed = bool(sys.stdin and sys.stdin.isatty())
    if engine == "data-parallel":
        world = open_data_parallel(launched_ranks(os.environ, is_typed), trains)
    else:
        chosen = choose_engine(engine, os.environ, is_typed)
        if chosen == "horovod" and engine == "auto" and is_of_srun(os.environ) and not find_spec("horovod"):
            chosen = "torch"  # srun --mpi serves both
        if chosen == "torch":
            return init_torch(meeting_of(os.environ))
        if chosen == "horovod":
            world = init_horovod(on_cpus=not has_nvidia_driver())
    check_launcher(world.world_size)
    return world


def check_launcher(ranks: int) -> None:
    """ClusterError if several processes were started, by srun, by mpiexec or as pods, and this one is alone: each would
    train for itself, in one folder."""
    if ranks > 1 or "HOROVOD_RANK" in os.environ or (sys.stdin and sys.stdin.isatty()):  # a shell that srun started
        return
    if is_of_pods(os.environ):
        raise ClusterError(
            f"{os.environ['WORLD_SIZE']} processes were started (RANK, WORLD_SIZE and MASTER_ADDR are set), but each "
            "of them is alone, since no torchrun has set LOCAL_RANK; start each of them with: torchrun --nnodes "
            "$WORLD_SIZE --node-rank $RANK --master-addr $MASTER_ADDR --master-port $MASTER_PORT -m -- horovod_ocr "
            "train; for a process that is to be alone, unset WORLD_SIZE"
        )
    if (started := started_ranks(os.environ)) > 1:
        raise ClusterError(
            f"{started} processes were started, but each of them is alone: Horovod learns no ranks from this launcher; "
            "start them with horovodrun or torchrun; under srun give --engine torch, or --mpi=pmix and a Horovod built "
            "with that MPI"
        )
