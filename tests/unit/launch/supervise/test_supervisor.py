"""A run is kept going, whatever way an attempt ends. With a fake horovodrun."""

import os
import signal
from collections.abc import Sequence

import pytest

from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.supervise import job_monitor
from horovod_ocr.launch.supervise.cluster import Problems
from horovod_ocr.launch.supervise.history import pause_after
from horovod_ocr.launch.supervise.record import last_step, read_record
from horovod_ocr.run.state import read_state, request_stop
from tests.unit.launch.fake_cluster import NODES, FakeCluster, restarts_of


def test_a_run_that_goes_well_is_started_once(run, capfd):
    cluster = FakeCluster(run, "finish")
    assert cluster.supervisor().supervise() == 0
    run_id = read_record(run).run_id
    assert cluster.started == [(f"{run_id}/1", ["node1", "node2", "node3"], False)]
    assert not (run / "restarts.jsonl").exists()
    assert cluster.cleared[0] == cluster.cleared[-1] == (["node1", "node2", "node3"], None)
    assert "finished" in capfd.readouterr().out and "launch: finished" in (run / "train.log").read_text()


def test_goes_on_from_the_last_checkpoint_and_says_why(run):
    cluster = FakeCluster(run, "die 137 40", "finish")
    assert cluster.supervisor().supervise() == 0
    assert [resumes for _, _, resumes in cluster.started] == [False, True]
    (restart,) = restarts_of(run)
    assert restart.pop("time") > 0
    assert restart == {
        "attempt": 2,
        "reason": "rank 1 on node2 was killed (SIGKILL)",
        "exit_code": 137,
        "pause_s": 0.0,
        "step": 40,
        "hosts": ["node1", "node2", "node3"],
        "ranks": 3,
    }
    assert "rank 1 on node2 was killed (SIGKILL)" in (run / "train.log").read_text()


@pytest.mark.parametrize(("action", "code"), [("die 2", 2), ("die 5 20", 5), ("die 3", 3)])
def test_what_would_happen_again_is_final(run, action, code):
    cluster = FakeCluster(run, action)
    assert cluster.supervisor().supervise() == code
    assert len(cluster.started) == 1
    assert "it went wrong" in (run / "train.log").read_text()


@pytest.mark.slow
def test_gives_up_after_so_many_restarts_with_growing_pauses(run):
    cluster = FakeCluster(run, "die 1")
    with pytest.raises(ClusterError, match="after 3 restarts.*exit code 1: it went wrong"):
        cluster.supervisor(max_restarts=3).supervise()
    assert len(cluster.started) == 4
    assert [restart["pause_s"] for restart in restarts_of(run)] == [0, 1, 2]


@pytest.mark.slow
def test_pauses_start_over_after_progress(run):
    cluster = FakeCluster(run, "die 1", "die 1", "die 1 5", "die 1", "finish")
    assert cluster.supervisor().supervise() == 0
    assert [restart["pause_s"] for restart in restarts_of(run)] == [0, 1, 0, 1]
    assert pause_after(8) == pause_after(40) == 60


def test_the_same_command_takes_up_a_run_under_a_new_attempt(run):
    assert FakeCluster(run, "die 2 30").supervisor().supervise() == 2
    again = FakeCluster(run, "finish")
    assert again.supervisor().supervise() == 0
    assert again.started == [(f"{read_record(run).run_id}/2", ["node1", "node2", "node3"], True)]


def test_a_signal_lets_the_job_save_and_leave(run):
    cluster = FakeCluster(run, "train")
    cluster.on_sleep = lambda: (run / "state.json").exists() and os.kill(os.getpid(), signal.SIGTERM)
    assert cluster.supervisor().supervise() == 0
    assert len(cluster.started) == 1 and last_step(run) == 10
    assert "stopped (SIGTERM) at step 10" in (run / "train.log").read_text()


def test_a_signal_during_the_first_look_at_hosts_stops_at_once(run):
    cluster = FakeCluster(run, "finish")
    supervisor = cluster.supervisor()
    kill_leftovers = cluster.kill_leftovers

    def interrupted(hosts: Sequence[Host], spared: str | None) -> Problems:
        supervisor.signals.received = "SIGINT"
        return {**kill_leftovers(hosts, spared), "node1": "cannot be used: KeyboardInterrupt"}

    cluster.kill_leftovers = interrupted
    assert supervisor.supervise() == 0
    assert not cluster.started and "launch: stopped (SIGINT) at step 0" in (run / "train.log").read_text()
    assert cluster.cleared[-1] == (["node1", "node2", "node3"], None)  # also the one that did not answer a moment ago


def test_a_stop_that_could_not_save_is_no_clean_one(run):
    (run / "checkpoints").mkdir(parents=True)
    (run / "LAST").write_text("step-00000020.pt\n")
    cluster = FakeCluster(run, "fill")
    cluster.on_sleep = lambda: (run / "state.json").exists() and os.kill(os.getpid(), signal.SIGTERM)
    assert cluster.supervisor().supervise() == 3
    said = (run / "train.log").read_text()
    assert "launch: rank 0 on node1 ended with exit code 3: no room" in said
    assert "stopped (SIGTERM) without a save: nothing newer than the checkpoint of step 20" in said


@pytest.mark.slow
@pytest.mark.parametrize("asked_by", ["SIGTERM", "node3"])
def test_a_job_that_validates_for_long_is_waited_for(run, asked_by):
    """It reads requests between steps only, and its heartbeat goes on."""
    cluster = FakeCluster(run, "validate", "finish")
    cluster.away = {"node3": (0, 12)} if asked_by == "node3" else {}
    beats = []

    def pass_time() -> None:
        beats.append(read_state(run))
        if (run / "REQUEST").exists() and beats[-1] not in beats[:-1]:
            cluster.time_s += 20
        elif asked_by == "SIGTERM" and (run / "state.json").exists():
            os.kill(os.getpid(), signal.SIGTERM)
        if cluster.time_s > 300:  # far beyond stall_timeout_s
            (run / "VALIDATED").touch()

    cluster.on_sleep = pass_time
    assert cluster.supervisor().supervise() == 0
    assert last_step(run) == (10 if asked_by == "SIGTERM" else 100)
    assert "did not" not in (run / "train.log").read_text()


def test_a_second_interrupt_ends_all_at_once(run):
    cluster = FakeCluster(run, "deaf")
    supervisor = cluster.supervisor()
    supervisor.signals.received = "SIGINT"
    with supervisor.signals, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    job = cluster.start("x/1", NODES, False)
    job.end()
    assert job.poll() == -9


def test_a_run_that_others_asked_to_stop_is_not_started_again(run):
    cluster = FakeCluster(run, "train")

    def ask() -> None:
        if state := read_state(run):
            request_stop(run, state.job, "the cluster is needed")

    cluster.on_sleep = ask
    assert cluster.supervisor().supervise() == 0
    assert len(cluster.started) == 1
    assert "stopped (asked to stop: the cluster is needed)" in (run / "train.log").read_text()


def test_a_job_that_a_host_stopped_when_it_went_down_goes_on_without_it(run):
    cluster = FakeCluster(run, "train", "finish")

    def shut_down() -> None:
        if state := read_state(run):
            cluster.away["node2"] = (0, 1e9)
            request_stop(run, state.job, "SIGTERM (rank 1 on node2)")

    cluster.on_sleep = shut_down
    assert cluster.supervisor().supervise() == 0
    assert [hosts for _, hosts, _ in cluster.started] == [["node1", "node2", "node3"], ["node1", "node3"]]
    assert restarts_of(run)[0]["reason"] == (
        "asked to stop: SIGTERM (rank 1 on node2); node2 does not answer (no route)"
    )


@pytest.mark.slow
def test_a_horovodrun_that_hangs_after_a_stalled_rank_is_killed(run):
    cluster = FakeCluster(run, "hang", "finish")
    assert cluster.supervisor().supervise() == 0
    (restart,) = restarts_of(run)
    assert restart["reason"] == "stalled: rank 0 on node1, step 3: no progress; horovodrun did not end"
    assert restart["exit_code"] == -9


@pytest.mark.slow
def test_a_job_that_says_nothing_is_killed(run, monkeypatch):
    monkeypatch.setattr(job_monitor, "START_UP_S", 5.0)
    cluster = FakeCluster(run, "deaf", "finish")
    assert cluster.supervisor().supervise() == 0
    assert restarts_of(run)[0]["reason"] == "no heartbeat of rank 0 for 15 s"


def test_a_standby_is_prepared_once_there_is_a_checkpoint_to_resume_from(run):
    cluster = FakeCluster(run, "train")
    polls = []

    def save_then_stop() -> None:
        polls.append(list(cluster.prepared))
        if cluster.prepared:
            os.kill(os.getpid(), signal.SIGTERM)
        elif len(polls) > 5 and (run / "state.json").exists():
            (run / "LAST").write_text("step-00000005.pt\n")

    cluster.on_sleep = save_then_stop
    assert cluster.supervisor(standby=True).supervise() == 0
    assert len(polls) > 5 and not polls[5]
    assert cluster.prepared == [(f"{read_record(run).run_id}/2", ["node1", "node2", "node3"])]
    assert not cluster.has_standby
