"""A job is asked to stop, and ended if it does not."""

from types import SimpleNamespace

import pytest

from horovod_ocr.launch.supervise.job import JobOutput
from horovod_ocr.launch.supervise.job_monitor import JobMonitor
from horovod_ocr.launch.supervise.record import open_record
from horovod_ocr.run.state import RunState, RunStatus, write_state
from tests.unit.launch.fake_cluster import NODES, FakeCluster


@pytest.mark.parametrize(("must_leave", "why"), [(True, "asked to stop (SIGTERM), it did not"), (False, None)])
def test_a_job_that_takes_steps_but_ignores_a_request_is_ended_if_it_must_leave(run, must_leave, why):
    clock, record = FakeCluster(run), open_record(run, [], 10.0)
    job = SimpleNamespace(output=JobOutput(NODES))
    monitor = JobMonitor(job, f"{record.run_id}/1", run, 0, 10.0, clock)
    monitor.ask("SIGTERM", must_leave)
    for step in range(1, 40):
        clock.time_s += 2
        write_state(run, RunState(RunStatus.TRAINING, step, 100, job=monitor.name))
        must_end = monitor.check()
    assert must_end == why


@pytest.mark.parametrize("steps_alone", [0, 50])
def test_a_job_whose_ranks_step_alone_has_until_they_meet(run, steps_alone):
    """However long its steps take, as long as they go on."""
    clock, record = FakeCluster(run), open_record(run, [], 10.0)
    job = SimpleNamespace(output=JobOutput(NODES))
    monitor = JobMonitor(job, f"{record.run_id}/1", run, 0, 10.0, clock, steps_alone)
    monitor.ask("SIGTERM", must_leave=True)
    ended_at = None
    for step in range(1, 100):
        clock.time_s += 9
        write_state(run, RunState(RunStatus.TRAINING, step, 100, job=monitor.name))
        if monitor.check() and ended_at is None:
            ended_at = step
    assert ended_at == steps_alone + 1 + 8  # that many steps of 9 s are longer than 10 + 60 s
