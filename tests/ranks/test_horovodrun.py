"""horovodrun itself: it starts as many ranks as it is told, and ends with the exit code of the rank that failed."""

import subprocess
import sys
import threading

import pytest

pytest.importorskip("horovod", reason="needs Horovod (make setup)")
pytestmark = pytest.mark.ranks


@pytest.fixture(params=["--gloo", "--mpi"])
def controller(request):
    from horovod.common.util import mpi_built

    if request.param == "--mpi" and not mpi_built():
        pytest.skip("needs openmpi when Horovod is built")
    return request.param


def horovodrun(*arguments: str, cwd) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "horovod.runner.launch", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)


def test_np_ranks_start_and_not_one_for_each_slot(tmp_path, controller):
    (tmp_path / "hosts.txt").write_text("# this machine\n\nlocalhost slots=3\n")
    program = (
        "import horovod.torch as hvd; hvd.init();"
        "open(f'{hvd.rank()}-of-{hvd.size()}-local-{hvd.local_rank()}', 'w').close()"
    )
    job = horovodrun(controller, "-np", "2", "-H", "hosts.txt", sys.executable, "-c", program, cwd=tmp_path)
    assert job.returncode == 0, job.stderr
    assert {path.name for path in tmp_path.glob("*-of-*")} == {"0-of-2-local-0", "1-of-2-local-1"}


def test_the_exit_code_is_that_of_the_rank_that_failed(tmp_path, controller):
    program = (
        "import os, sys, time;"
        "rank = os.environ.get('HOROVOD_RANK', os.environ.get('OMPI_COMM_WORLD_RANK'));"
        "sys.exit(5) if rank == '1' else time.sleep(60)"
    )
    job = horovodrun(controller, "-np", "2", "-H", "localhost:2", sys.executable, "-c", program, cwd=tmp_path)
    assert job.returncode == 5
    assert "Traceback" not in job.stdout + job.stderr
    if controller == "--gloo":
        assert "rank 1 ended first, with exit code 5" in job.stderr


def test_ranks_that_are_stopped_may_end_while_they_are_stopped():
    """horovodrun stops a shell for each rank; a thread waits for it, so the shell is gone as soon as its child is."""
    from horovod.runner.common.util.safe_shell_exec import terminate_executor_shell_and_children

    for _ in range(10):
        shell = subprocess.Popen("sleep 60; exit 3", shell=True)
        waiter = threading.Thread(target=shell.wait)
        waiter.start()
        terminate_executor_shell_and_children(shell.pid)
        waiter.join(timeout=10)
        assert not waiter.is_alive()
