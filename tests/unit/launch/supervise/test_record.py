"""The files of a supervisor: the same run is taken up again, and never by two."""

import dataclasses

import pytest

from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.supervise.record import lock_run, open_record
from horovod_ocr.run.state import RunState, RunStatus, write_state


def test_a_run_is_taken_up_as_it_was(tmp_path):
    first = open_record(tmp_path / "it", ["--seed", "1"], 12.0)
    assert open_record(tmp_path / "it", ["--run", "it"], 12.0) == first
    assert open_record(tmp_path / "it", [], 60.0) == dataclasses.replace(first, stall_timeout_s=60.0)


def test_a_run_that_others_are_training_is_left_alone(tmp_path):
    run = tmp_path / "it"
    record = open_record(run, [], 300.0)
    write_state(run, RunState(RunStatus.TRAINING, 5, 40, host="node7", pid=11, job=f"{record.run_id}/1"))
    open_record(run, [], 300.0)  # of our own: what is left of it is ended
    write_state(run, RunState(RunStatus.TRAINING, 5, 40, host="node7", pid=11))
    with pytest.raises(ClusterError, match="process 11 on node7"):
        open_record(run, [], 300.0)
    with lock_run(run), pytest.raises(ClusterError, match="supervised by another launch"):
        lock_run(run)
    lock_run(run).close()
