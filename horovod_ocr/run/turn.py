"""A job that waits for its turn: its ranks have imported everything while another job of the run trains.

runs/<name>/TURN          the job (its JOB_VARIABLE) whose turn it is
"""

import os
import time
from pathlib import Path

from horovod_ocr.run.folder import read_start
from horovod_ocr.run.state import JOB_VARIABLE, SILENT_S, RunStatus, read_state
from sharding.system.files import write_whole

TURN = "TURN"
TURN_VARIABLE = "HOROVOD_OCR_WAITS_IN"  # environment variable of ranks that wait: the folder of their run
POLL_S = 0.25


def give_turn(run: Path, job: str) -> None:
    """Let the ranks of a job begin. Raises OSError."""
    write_whole(run / TURN, f"{job}\n".encode())


def wait_for_turn() -> bool:
    """If this process is of a job that waits, wait. False: the run has finished, or nobody is left to give the turn."""
    if TURN_VARIABLE not in os.environ:
        return True
    run, job = Path(os.environ[TURN_VARIABLE]), os.environ[JOB_VARIABLE]
    while not has_turn(run, job):
        state = read_state(run)
        if state and (state.state == RunStatus.FINISHED or time.time() - state.time > SILENT_S):
            return False
        time.sleep(POLL_S)
    return True


def has_turn(run: Path, job: str) -> bool:
    try:
        return read_start(run / TURN) == job
    except OSError:  # none was given yet, or its storage is away
        return False
