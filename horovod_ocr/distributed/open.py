"""Which world this process belongs to."""

import os
import sys

from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.gpus import has_nvidia_driver
from horovod_ocr.distributed.horovod import init_horovod
from horovod_ocr.distributed.launcher import SIZE_VARIABLES, rank_of_process
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import ClusterError


def open_world() -> World:
    """The world this process belongs to: Horovod's under horovodrun, a world of one otherwise. Collective."""
    if rank_of_process() is None:
        check_launcher(1)
        return AloneWorld()
    world = init_horovod(on_cpus=not has_nvidia_driver())
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
            "start them with horovodrun, or with srun --mpi=pmix and a Horovod built with that MPI"
        )
