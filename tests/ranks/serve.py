"""A rank that lives as long as the tests: it runs one job after the other, each as if the interpreter were new.

A job is a file job-<number>.json in a folder, which every rank reads for itself. What the rank prints for it goes to
job-<number>.rank-<rank>.out and .err, and how the job ended to job-<number>.rank-<rank>.json, last of all.
"""

import gc
import itertools
import json
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import active_children, forkserver
from pathlib import Path
from unittest.mock import patch

POLL_S = 0.02
OF_LAUNCHERS = ("HOROVOD_", "OMPI_", "PMIX_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_", "TORCHELASTIC_")


def main(folder: Path, owner: int) -> None:
    """Serve until there is a file `stop` in the folder, or the process that wants the jobs is gone."""
    # here, because loader workers import this file
    import torch

    from horovod_ocr.cli.encoding import ensure_utf8
    from horovod_ocr.distributed.launcher import rank_of_process
    from horovod_ocr.distributed.open import open_world

    ensure_utf8()
    world = open_world()
    started_with = torch.get_rng_state()  # every interpreter starts with it
    launched_with = {name: value for name, value in os.environ.items() if name.startswith(OF_LAUNCHERS)}
    assert rank_of_process() == (world.rank if world.world_size > 1 else None)
    for number in itertools.count(1):
        job = wait_for(folder, number, owner)
        if job is None:
            break
        answer = folder / f"job-{number}.rank-{world.rank}"
        with captured(answer), as_in_a_new_interpreter(job["folder"], {**job["environment"], **launched_with}):
            torch.set_rng_state(started_with)
            code, is_unexpected = run(job)
        write_json(answer.with_name(answer.name + ".json"), {"code": code, "left": what_is_left()})
        if is_unexpected:
            sys.exit(code)  # the other ranks may wait in the middle of the job


def wait_for(folder: Path, number: int, owner: int) -> dict | None:
    """The job, when it is there; None if no more will come."""
    path = folder / f"job-{number}.json"
    while not path.exists():
        if (folder / "stop").exists() or not Path(f"/proc/{owner}").exists():
            return None
        time.sleep(POLL_S)
    return json.loads(path.read_text())


def run(job: dict) -> tuple[int, bool]:
    """The exit code with which an interpreter would end, and whether an exception that nobody expects is the reason."""
    try:
        if job["kind"] == "train":
            from tests.ranks.rank_program import train_as_told

            train_as_told(job["settings"])
        elif job["kind"] == "collectives":
            from tests.ranks.collectives import try_all

            try_all(Path(job["out"]))
        else:
            from horovod_ocr.cli.main import app

            app(job["words"], prog_name="horovod-ocr")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1, False
        return end.code or 0, False
    except BaseException:
        traceback.print_exc()
        return 1, True
    return 0, False


@contextmanager
def captured(answer: Path) -> Iterator[None]:
    """Standard output and standard error, also of C code and of child processes, go to files."""
    before = [os.dup(number) for number in (1, 2)]
    for number, ending in ((1, ".out"), (2, ".err")):
        file = os.open(f"{answer}{ending}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in zip((1, 2), before, strict=True):
            os.dup2(kept, number)
            os.close(kept)


@contextmanager
def as_in_a_new_interpreter(folder: str, environment: dict[str, str]) -> Iterator[None]:
    """Undo afterwards what a job changes in its interpreter; constants of modules are its own affair."""
    import torch

    here, threads = Path.cwd(), torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, environment, clear=True))
        stack.enter_context(warnings.catch_warnings())
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(here)
            torch.use_deterministic_algorithms(False)
            torch.set_default_dtype(torch.float32)
            torch.set_num_threads(threads)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            gc.collect()  # loaders end their workers
            forkserver._forkserver._stop()  # a new one inherits the output of its own job


def what_is_left() -> list[str]:
    """Threads and child processes that a job has not ended."""
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    return [*threads, *(child.name for child in active_children())]


def write_json(path: Path, value: object) -> None:
    path.with_suffix(".new").write_text(json.dumps(value))
    path.with_suffix(".new").replace(path)


if __name__ == "__main__":  # loader workers import this file
    main(Path(sys.argv[1]), int(sys.argv[2]))
