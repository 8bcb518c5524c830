"""What launchers tell the processes that they start, in their environment. No torch."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from horovod_ocr.errors import ConfigError

Environ = Mapping[str, str]

# the variables in which a process finds its rank: horovodrun with Gloo; Open MPI; MPICH, Intel MPI and srun --mpi
HOROVOD_RANKS = ("HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")
TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")  # each of them alone may be somebody else's
# of a step of srun; the script of sbatch has SLURM_PROCID too, but is not a step
SRUN = ("SLURM_PROCID", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_STEP_NODELIST")

# how many processes a launcher whose ranks Horovod may not know has started
SIZE_VARIABLES = ("SLURM_STEP_NUM_TASKS", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
TORCHRUN_PORT = "29500"  # torchrun's own default
FIRST_PORT, PORTS = 12_000, 20_000  # below those that Linux gives to connections


class Meeting(NamedTuple):
    """Where torch's ranks meet for the first time."""

    rank: int
    """Of this process."""
    world_size: int
    """The number of ranks."""
    address: str
    """Of the host of rank 0."""
    port: int
    """That rank 0 listens on there."""


def rank_of_process(environ: Environ = os.environ) -> int | None:
    """This process's rank, as its launcher set it; None if it has none."""
    if "HOROVOD_RANK" in environ:
        return int(environ["HOROVOD_RANK"])
    if is_of_torchrun(environ):  # before those of MPI, which may start a torchrun on each host
        return int(environ["RANK"])
    ranks = [int(environ[name]) for name in HOROVOD_RANKS if name in environ]
    if ranks or not is_of_srun(environ):
        return next(iter(ranks), None)
    return int(environ["SLURM_PROCID"])


def launched_ranks(environ: Environ) -> int:
    """How many processes the launcher has started; 1 without one."""
    sizes = [environ[name] for name in ("HOROVOD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE") if name in environ]
    sizes += [environ["WORLD_SIZE"]] if is_of_torchrun(environ) else []
    tasks = tasks_of_srun(environ) if is_of_srun(environ) else 1
    return max([tasks, *map(int, sizes)])


def choose_engine(wanted: str, environ: Environ, is_typed: bool) -> str | None:
    """horovod or torch, whichever the launcher of this process serves; None if it was started alone.

    wanted: auto, horovod or torch. is_typed: a person typed the command; srun may have started the shell, but not the
    command. ConfigError if the launcher does not serve that engine, or if there are two launchers.
    """
    of_horovod = [name for name in HOROVOD_RANKS if name in environ]
    of_torchrun, of_srun = is_of_torchrun(environ), is_of_srun(environ) and not is_typed
    if wanted == "auto":
        if of_horovod and of_torchrun:
            raise ConfigError(
                f"two launchers have started this process: {', '.join(of_horovod)} for Horovod, "
                f"{', '.join(TORCHRUN)} for torch; say which one counts: --engine horovod or --engine torch"
            )
        return "horovod" if of_horovod else "torch" if of_torchrun or of_srun else None
    if wanted == "horovod":
        if of_horovod or not (of_torchrun or of_srun):
            return "horovod" if of_horovod else None
        launcher, others = ("torchrun", TORCHRUN) if of_torchrun else ("srun", SRUN)
        raise ConfigError(
            f"engine horovod, but {launcher} has started this process ({', '.join(others)} are set), of which Horovod "
            "learns no ranks; start it with horovodrun, or give --engine torch"
        )
    if of_horovod and not (of_torchrun or of_srun):
        raise ConfigError(
            f"engine torch, but this process was started for Horovod ({', '.join(of_horovod)} is set), where torch's "
            "ranks do not find each other; start it with torchrun or srun, or give --engine horovod"
        )
    return "torch" if of_torchrun or of_srun else None


def is_of_torchrun(environ: Environ) -> bool:
    return all(name in environ for name in TORCHRUN)


def is_of_srun(environ: Environ) -> bool:
    """Whether srun has started this process and others, and no launcher inside of its step has."""
    inner = "HOROVOD_RANK" in environ or "OMPI_COMM_WORLD_RANK" in environ
    if inner or not all(name in environ for name in SRUN) or tasks_of_srun(environ) < 2:
        return False
    # srun --mpi sets one of these as well; in a process of an mpiexec that srun helps to start, they are other numbers
    return all(environ[name] == environ["SLURM_PROCID"] for name in ("PMI_RANK", "PMIX_RANK") if name in environ)


def tasks_of_srun(environ: Environ) -> int:
    return int(environ.get("SLURM_STEP_NUM_TASKS") or environ.get("SLURM_NTASKS") or 1)


def meeting_of(environ: Environ) -> Meeting:
    """For the engine torch, of the variables of torchrun or else of srun."""
    if is_of_torchrun(environ):
        port = int(environ.get("MASTER_PORT", TORCHRUN_PORT))
        return Meeting(int(environ["RANK"]), int(environ["WORLD_SIZE"]), environ["MASTER_ADDR"], port)
    # steps may run side by side on one host
    number = int(environ["SLURM_JOB_ID"]) * 31 + int(environ["SLURM_STEP_ID"])
    address = first_host(environ["SLURM_STEP_NODELIST"])
    return Meeting(int(environ["SLURM_PROCID"]), tasks_of_srun(environ), address, FIRST_PORT + number % PORTS)


def first_host(hosts: str) -> str:
    """The first of a list of Slurm's, such as `node[01-03,7],other`: node01."""
    match = re.match(r"(?:[^,\[]|\[[^\]]*\])+", hosts)
    assert match, f"not a list of hosts: {hosts}"
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", match[0])
