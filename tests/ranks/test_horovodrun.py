"""horovodrun itself: it starts as many ranks as it is told, and ends with the exit code of the rank that failed."""

import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("horovod", reason="needs Horovod (make setup)")
pytestmark = pytest.mark.ranks


@pytest.fixture(params=["--gloo", "--mpi"])
def controller(request):
    from horovod.common.util import mpi_built

    if request.param == "--mpi" and not mpi_built():
        pytest.skip("needs openmpi when Horovod is built")
    return request.param


HOROVODRUN = [sys.executable, "-m", "horovod.runner.launch"]


def horovodrun(*arguments: str, cwd) -> subprocess.CompletedProcess:
    return subprocess.run([*HOROVODRUN, *arguments], cwd=cwd, capture_output=True, text=True, timeout=600)


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


def test_ranks_have_time_to_save_when_horovodrun_is_stopped(tmp_path, controller):
    program = (
        "import os, signal, time; asked = [];"
        "signal.signal(signal.SIGTERM, lambda *_: asked.append(1));"
        "rank = os.environ.get('HOROVOD_RANK', os.environ.get('OMPI_COMM_WORLD_RANK'));"
        "open(f'started-{rank}', 'w').close();\n"
        "while not asked: time.sleep(0.05)\n"
        "time.sleep(2); open(f'saved-{rank}', 'w').close()"
    )
    command = [*HOROVODRUN, controller, "-np", "2", "-H", "localhost:2", sys.executable, "-c", program]
    job = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline_s = time.monotonic() + 300
        while len(list(tmp_path.glob("started-*"))) < 2 and job.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.1)
        job.send_signal(signal.SIGTERM)
        said, _ = job.communicate(timeout=300)
    finally:
        job.kill()
    assert "Traceback" not in said, said
    assert {path.name for path in tmp_path.glob("saved-*")} == {"saved-0", "saved-1"}, said


def test_a_shell_whose_rank_was_stopped_ends_with_its_own_code():
    """horovodrun stops a shell for each rank; a thread waits for it, so the shell is gone as soon as its child is."""
    from horovod.runner.common.util.safe_shell_exec import terminate_executor_shell_and_children

    for _ in range(10):
        shell = subprocess.Popen("echo; sleep 60; exit 3", shell=True, stdout=subprocess.PIPE)
        waiter = threading.Thread(target=shell.wait)
        waiter.start()
        shell.stdout.readline()  # the next is its child
        time.sleep(0.05)
        begun_s = time.monotonic()
        terminate_executor_shell_and_children(shell.pid)
        waiter.join(timeout=10)
        shell.stdout.close()
        assert shell.returncode == 3 and time.monotonic() - begun_s < 4


def test_a_shell_without_children_is_asked_to_stop():
    """A shell that runs one command may become this command; it may also be stopped before it has begun it."""
    from horovod.runner.common.util.safe_shell_exec import terminate_executor_shell_and_children

    program = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print(); time.sleep(60)"
    command = subprocess.Popen([sys.executable, "-uc", program], stdout=subprocess.PIPE)
    command.stdout.readline()
    terminate_executor_shell_and_children(command.pid)
    assert command.wait(timeout=10) == 7
    command.stdout.close()
