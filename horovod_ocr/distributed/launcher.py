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
RESTARTS = "TORCHELASTIC_RESTART_COUNT"
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
        return number_in(environ, "HOROVOD_RANK")
    if is_of_torchrun(environ):  # before those of MPI, which may start a torchrun on each host
        return number_in(environ, "RANK")
    if ranks := [number_in(environ, name) for name in HOROVOD_RANKS if name in environ]:
        return ranks[0]
    return number_in(environ, "SLURM_PROCID") if is_of_srun(environ) else None


def launched_ranks(environ: Environ, is_typed: bool = False) -> int:
    """How many processes the launcher has started; 1 without one. is_typed: see `choose_engine`."""
    if is_typed and is_of_srun(environ) and not is_of_torchrun(environ):
        return 1
    sizes = [name for name in ("HOROVOD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE") if name in environ]
    sizes += ["WORLD_SIZE"] if is_of_torchrun(environ) else []
    tasks = tasks_of_srun(environ) if is_of_srun(environ) else 1
    return max([tasks, *(number_in(environ, name) for name in sizes)])


def started_ranks(environ: Environ) -> int:
    """How many processes a launcher whose ranks Horovod may not know has started; 1 without one."""
    return max([1, *(number_in(environ, name) for name in SIZE_VARIABLES if environ.get(name))])


def times_restarted(environ: Environ = os.environ) -> int:
    """How often torchrun has started this rank again after a fault."""
    return number_in({RESTARTS: "0", **environ}, RESTARTS)


def number_in(environ: Environ, name: str) -> int:
    """The number that a launcher's variable holds. ConfigError, which names it, for anything else."""
    try:
        return int(environ[name])
    except ValueError:
        raise ConfigError(
            f"the variable {name} is {environ[name]!r}, and not the number that a launcher gives; unset it, or start "
            "the ranks with horovodrun, torchrun or srun"
        ) from None


def choose_engine(wanted: str, environ: Environ, is_typed: bool) -> str | None:
    """horovod or torch, whichever the launcher of this process serves; None if it was started alone.

    wanted: auto, horovod or torch. is_typed: a person typed the command; srun may have started the shell, but not the
    command. ConfigError if the launcher does not serve that engine, or if there are two launchers.
    """
    of_horovod = [name for name in HOROVOD_RANKS if name in environ]
    of_torchrun, of_srun = is_of_torchrun(environ), is_of_srun(environ) and not is_typed
    if not of_torchrun and (is_alone(environ) or (is_typed and is_of_srun(environ))):
        return None
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
            f"engine horovod, but {launcher} has started this process ({', '.join(others)} are set), from which "
            "Horovod learns no ranks; start it with horovodrun, or give --engine torch"
        )
    if of_horovod and not (of_torchrun or of_srun):
        verb = "is" if len(of_horovod) == 1 else "are"
        raise ConfigError(
            f"engine torch, but this process was started for Horovod ({', '.join(of_horovod)} {verb} set), where "
            "torch's ranks do not find each other; start it with torchrun or srun, or give --engine horovod"
        )
    return "torch" if of_torchrun or of_srun else None


def is_alone(environ: Environ) -> bool:
    """Whether a launcher has started this process alone, as srun does for one task, perhaps with PMI_RANK set."""
    knows_size = any(environ.get(name) for name in SIZE_VARIABLES)
    return knows_size and "HOROVOD_RANK" not in environ and started_ranks(environ) == 1


def is_of_torchrun(environ: Environ) -> bool:
    return all(name in environ for name in TORCHRUN)


def is_of_srun(environ: Environ) -> bool:
    """Whether srun has started this process and others, and no launcher inside of its step has."""
    inner = "HOROVOD_RANK" in environ or "OMPI_COMM_WORLD_RANK" in environ
    if inner or not all(name in environ for name in SRUN) or tasks_of_srun(environ) < 2:
        return False
    # srun --mpi sets one of these as well; in a process of an mpiexec that srun helps to start, they are other numbers
    return all(environ[name] == environ["SLURM_PROCID"] for name in ("PMI_RANK", "PMIX_RANK") if name in environ)


def is_of_pods(environ: Environ) -> bool:
    """Whether this is one of several pods, as Kubernetes' PyTorchJob starts them: with torchrun's variables, but
    without torchrun."""
    of_pods = [name for name in TORCHRUN if name != "LOCAL_RANK"]
    has_all = "LOCAL_RANK" not in environ and all(name in environ for name in of_pods)
    return has_all and number_in(environ, "WORLD_SIZE") > 1


def tasks_of_srun(environ: Environ) -> int:
    given = [name for name in ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS") if environ.get(name)]
    return number_in(environ, given[0]) if given else 1


def meeting_of(environ: Environ) -> Meeting:
    """For the engine torch, of the variables of torchrun or else of srun."""
    if is_of_torchrun(environ):
        port = number_in({"MASTER_PORT": TORCHRUN_PORT, **environ}, "MASTER_PORT")
        return Meeting(number_in(environ, "RANK"), number_in(environ, "WORLD_SIZE"), environ["MASTER_ADDR"], port)
    # steps may run side by side on one host
    number = number_in(environ, "SLURM_JOB_ID") * 31 + number_in(environ, "SLURM_STEP_ID")
    address, rank = first_host(environ["SLURM_STEP_NODELIST"]), number_in(environ, "SLURM_PROCID")
    return Meeting(rank, tasks_of_srun(environ), address, FIRST_PORT + number % PORTS)


def first_host(hosts: str) -> str:
    """The first of a list of Slurm's, such as `node[01-03,7],other`: node01. ConfigError for what is no such list."""
    match = re.match(r"(?:[^,\[]|\[[^\]]*\])+", hosts)
    if not match:
        raise ConfigError(f"the variable SLURM_STEP_NODELIST is {hosts!r}, and not the list of hosts that srun gives")
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", match[0])
