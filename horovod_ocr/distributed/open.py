"""Which world this process belongs to."""

import os
import sys

from horovod_ocr.config.train import check_engine
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.data_parallel import open_data_parallel
from horovod_ocr.distributed.gpus import has_nvidia_driver
from horovod_ocr.distributed.horovod import init_horovod
from horovod_ocr.distributed.launcher import SIZE_VARIABLES, choose_engine, launched_ranks, meeting_of
from horovod_ocr.distributed.torch_engine import init_torch
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import ClusterError


def open_world(engine: str = "auto") -> World:
    """The world this process belongs to: of the engine that its launcher serves, or a world of one. Collective.

    engine: as in RanksConfig. Raises ConfigError if the launcher serves another one, ClusterError if the engine is not
    there or the ranks do not meet.
    """
    check_engine(engine)
    if engine == "data-parallel":
        return open_data_parallel(launched_ranks(os.environ))
    chosen = choose_engine(engine, os.environ, is_typed=bool(sys.stdin and sys.stdin.isatty()))
    if chosen == "torch":
        return init_torch(meeting_of(os.environ))
    world = init_horovod(on_cpus=not has_nvidia_driver()) if chosen == "horovod" else AloneWorld()
    check_launcher(world.world_size)
    return world


def check_launcher(ranks: int) -> None:
    """ClusterError if srun or mpiexec started several processes and Horovod sees one rank: each would train for itself,
    in one folder."""
    if ranks > 1 or "HOROVOD_RANK" in os.environ or (sys.stdin and sys.stdin.isatty()):  # a shell that srun started
        return
    started = max(int(os.environ.get(name) or 1) for name in SIZE_VARIABLES)
    if started > 1:
        raise ClusterError(
            f"{started} processes were started, but each of them is alone: Horovod learns no ranks from this launcher; "
            "start them with horovodrun or torchrun; under srun give --engine torch, or --mpi=pmix and a Horovod built "
            "with that MPI"
        )
