"""What a launcher tells the processes that it starts, in their environment. No torch."""

import os

# the variables in which a process finds its rank: horovodrun with Gloo; Open MPI; MPICH, Intel MPI and srun
RANK_VARIABLES = ("HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")

SIZE_VARIABLES = ("SLURM_STEP_NUM_TASKS", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE")  # how many processes it started


def rank_of_process() -> int | None:
    """This process's rank, as its launcher set it; None if it has none."""
    return next((int(os.environ[name]) for name in RANK_VARIABLES if name in os.environ), None)
