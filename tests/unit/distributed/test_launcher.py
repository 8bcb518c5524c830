"""What a process learns of its launcher from its environment: every combination that people have."""

import pytest

from horovod_ocr.distributed.launcher import (
    PORTS,
    Meeting,
    choose_engine,
    first_host,
    is_of_pods,
    launched_ranks,
    meeting_of,
    rank_of_process,
    times_restarted,
)
from horovod_ocr.errors import ConfigError

HOROVODRUN = {"HOROVOD_RANK": "1", "HOROVOD_SIZE": "3", "HOROVOD_LOCAL_RANK": "1"}
MPIEXEC = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3", "PMIX_RANK": "1"}
HYDRA = {"PMI_RANK": "1", "PMI_SIZE": "3"}
TORCHRUN = {"RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "2", "MASTER_ADDR": "node1", "MASTER_PORT": "4711"}
BATCH = {"SLURM_JOB_ID": "77", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "3"}  # a script of sbatch
STEP = {"SLURM_STEP_ID": "2", "SLURM_STEP_NODELIST": "node[01-02],other", "SLURM_STEP_NUM_TASKS": "3"}
SRUN = {**BATCH, **STEP, "SLURM_PROCID": "2"}
ONE_TASK = {**SRUN, "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}  # srun --pty bash
OUTER_SRUN = {**SRUN, "SLURM_PROCID": "1"}
PODS = {name: TORCHRUN[name] for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR")}  # of Kubernetes, without torchrun

# environment, then the engine under auto, horovod and torch ("refused": a sentence), and the rank that prints
TABLE = {
    "nothing": ({}, None, None, None, None),
    "horovodrun": (HOROVODRUN, "horovod", "horovod", "refused", 1),
    "mpiexec": (MPIEXEC, "horovod", "horovod", "refused", 1),
    "mpiexec of MPICH": (HYDRA, "horovod", "horovod", "refused", 1),
    "torchrun": (TORCHRUN, "torch", "refused", "torch", 2),
    "srun": (SRUN, "torch", "refused", "torch", 2),
    "srun --mpi=pmix": ({**SRUN, "PMIX_RANK": "2"}, "horovod", "horovod", "torch", 2),
    "srun that starts mpiexec's helpers": (
        {**OUTER_SRUN, **HYDRA, "PMI_RANK": "7"},
        "horovod",
        "horovod",
        "refused",
        7,
    ),
    "sbatch": (BATCH, None, None, None, None),
    "srun of one task": (ONE_TASK, None, None, None, None),
    "srun --mpi=pmix of one task": ({**ONE_TASK, "PMIX_RANK": "0"}, None, None, None, 0),
    "srun of one task on a Cray": ({**ONE_TASK, "PMI_RANK": "0", "PMI_SIZE": "1"}, None, None, None, 0),
    "mpiexec of one process": ({**HYDRA, "PMI_RANK": "0", "PMI_SIZE": "1"}, None, None, None, 0),
    "one task that starts mpiexec's helper": ({**ONE_TASK, **HYDRA}, "horovod", "horovod", "refused", 1),
    "horovodrun in sbatch": ({**BATCH, **HOROVODRUN}, "horovod", "horovod", "refused", 1),
    "horovodrun in a step of srun": ({**OUTER_SRUN, **HOROVODRUN}, "horovod", "horovod", "refused", 1),
    "mpiexec in a step of srun": ({**OUTER_SRUN, **MPIEXEC}, "horovod", "horovod", "refused", 1),
    "torchrun in sbatch": ({**BATCH, **TORCHRUN}, "torch", "refused", "torch", 2),
    "srun that starts a torchrun on each host": ({**OUTER_SRUN, **TORCHRUN}, "torch", "refused", "torch", 2),
    "mpiexec that starts a torchrun on each host": ({**MPIEXEC, **TORCHRUN}, "refused", "horovod", "torch", 2),
    "horovodrun and torchrun": ({**HOROVODRUN, **TORCHRUN}, "refused", "horovod", "torch", 1),
    "a pod of Kubernetes": (PODS, None, None, None, None),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_engine_is_that_of_the_launcher(name):
    environ, *engines, rank = TABLE[name]
    for wanted, engine in zip(("auto", "horovod", "torch"), engines, strict=True):
        if engine == "refused":
            with pytest.raises(ConfigError, match=r"started (by|for|this)"):
                choose_engine(wanted, environ, is_typed=False)
        else:
            assert choose_engine(wanted, environ, is_typed=False) == engine
    assert rank_of_process(environ) == rank


def test_two_launchers_are_refused_by_their_variables():
    with pytest.raises(ConfigError, match="HOROVOD_RANK for Horovod, RANK, WORLD_SIZE.*--engine horovod or"):
        choose_engine("auto", {**HOROVODRUN, **TORCHRUN}, is_typed=False)


def test_a_command_that_a_person_types_is_not_one_of_sruns():
    """In a shell that `srun -n 3 --pty bash` has started; what horovodrun starts from there is."""
    assert choose_engine("auto", SRUN, is_typed=True) is None
    assert choose_engine("auto", {**SRUN, "PMIX_RANK": "2"}, is_typed=True) is None
    assert launched_ranks(SRUN, is_typed=True) == 1 and launched_ranks({**SRUN, **MPIEXEC}, is_typed=True) == 3
    assert choose_engine("auto", {**SRUN, **HOROVODRUN}, is_typed=True) == "horovod"


@pytest.mark.parametrize(
    "environ, ranks", [({}, 1), (HOROVODRUN, 3), (MPIEXEC, 3), (TORCHRUN, 3), (SRUN, 3), (BATCH, 1), (PODS, 1)]
)
def test_how_many_processes_were_started(environ, ranks):
    assert launched_ranks(environ) == ranks


def test_torchrun_counts_how_often_it_has_started_a_rank_again():
    assert times_restarted(TORCHRUN) == 0 and times_restarted({**TORCHRUN, "TORCHELASTIC_RESTART_COUNT": "2"}) == 2


def test_pods_without_torchrun_are_known():
    assert is_of_pods(PODS)
    for others in ({}, TORCHRUN, SRUN, {**PODS, "WORLD_SIZE": "1"}, {"RANK": "2", "WORLD_SIZE": "3"}):
        assert not is_of_pods(others)


READERS = {"HOROVOD_RANK": rank_of_process, "OMPI_COMM_WORLD_RANK": rank_of_process, "PMI_RANK": rank_of_process}
READERS |= {"PMI_SIZE": launched_ranks}
READERS |= dict.fromkeys(("RANK", "WORLD_SIZE", "MASTER_PORT", "SLURM_JOB_ID", "SLURM_STEP_ID"), meeting_of)


@pytest.mark.parametrize("value", ["", "two", "1.5"])
@pytest.mark.parametrize("name", READERS)
def test_a_variable_that_holds_no_number_is_named(name, value):
    (environ,) = [each for each in (HOROVODRUN, MPIEXEC, HYDRA, TORCHRUN, SRUN) if name in each]
    with pytest.raises(ConfigError, match=f"the variable {name} is {value!r}, and not the number"):
        READERS[name]({**environ, name: value})


def test_slurms_number_of_tasks_may_be_empty_but_no_word():
    assert launched_ranks({**SRUN, "SLURM_STEP_NUM_TASKS": ""}) == 3  # of SLURM_NTASKS
    with pytest.raises(ConfigError, match="the variable SLURM_STEP_NUM_TASKS is 'two'"):
        launched_ranks({**SRUN, "SLURM_STEP_NUM_TASKS": "two"})


def test_a_list_of_hosts_that_is_empty_is_named():
    with pytest.raises(ConfigError, match="the variable SLURM_STEP_NODELIST is '', and not the list"):
        meeting_of({**SRUN, "SLURM_STEP_NODELIST": ""})


def test_where_the_ranks_meet():
    assert meeting_of(TORCHRUN) == Meeting(2, 3, "node1", 4711)
    first, second = meeting_of(SRUN), meeting_of({**SRUN, "SLURM_STEP_ID": "3"})
    assert first[:3] == (2, 3, "node01")
    assert first.port != second.port and all(1024 < each.port < 32768 for each in (first, second))
    assert meeting_of({**SRUN, "SLURM_PROCID": "0"})[1:] == first[1:]  # the same on all ranks
    assert 1024 < meeting_of({**SRUN, "SLURM_JOB_ID": str(PORTS - 1)}).port < 32768


@pytest.mark.parametrize(
    "hosts, first",
    [
        ("node1", "node1"),
        ("node1,node2", "node1"),
        ("node[1-3,7]", "node1"),
        ("node[7,1-3],a", "node7"),
        ("node[001-012]", "node001"),
        ("rack[2-3]-n[04-06,9].cluster,x[1-2]", "rack2-n04.cluster"),
    ],
)
def test_the_first_host_of_slurms_list(hosts, first):
    assert first_host(hosts) == first
