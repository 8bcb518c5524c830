"""A run is kept going: each way an attempt can end has its answer, with a horovodrun that does as it is told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from horovod_ocr.errors import ClusterError
from horovod_ocr.launch import watch
from horovod_ocr.launch.hosts import Host
from horovod_ocr.launch.job import Job
from horovod_ocr.launch.record import last_step, read_record, take_up
from horovod_ocr.launch.supervise import Ending, Supervisor, Tally, Wish, judge, pause_after
from horovod_ocr.training.state import JOB_VARIABLE, RunState, read_state, request_stop

FAKE = str(Path(__file__).with_name("fake_horovodrun.py"))
NODES = (Host("node1"), Host("node2"), Host("node3"))


class FakeCluster:
    """Hosts that come and go, a clock that runs fast, and a plan: what each attempt does, the last again and again.

    away: host -> from when to when (s on the clock) it does not answer.
    """

    def __init__(self, run: Path, *plan: str):
        self.run, self.plan, self.now_s = run, list(plan), 0.0
        self.away: dict[str, tuple[float, float]] = {}
        self.unfit: set[str] = set()
        self.started: list[tuple[str, list[str], bool]] = []
        self.cleared: list[tuple[list[str], str]] = []
        self.on_sleep = lambda: None

    def start(self, job: str, hosts: tuple[Host, ...], resumes: bool) -> Job:
        self.started.append((job, [host.name for host in hosts], resumes))
        action = self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]
        command = [sys.executable, "-S", FAKE, str(self.run), *action.split()]
        return Job(command, {**os.environ, JOB_VARIABLE: job}, hosts)

    def clear(self, hosts: tuple[Host, ...], spared: str) -> dict[str, str]:
        self.cleared.append(([host.name for host in hosts], spared))
        absent = {name for name, (begin_s, end_s) in self.away.items() if begin_s <= self.now_s < end_s}
        return {host.name: "does not answer (no route)" if host.name in absent else "" for host in hosts}

    def check(self, new: tuple[Host, ...], used: tuple[Host, ...]) -> dict[str, str]:
        return {host.name: "cannot train: torch: another" if host.name in self.unfit else "" for host in new}

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        time.sleep(0.01)
        self.on_sleep()

    def supervisor(self, **wishes) -> Supervisor:
        wish = Wish(self.run, NODES, **{"np": 3, **wishes})
        record = take_up(self.run, ["--seed", "1"], 10.0)
        return Supervisor(wish, record, self.start, self.clear, self.check, lambda: self.now_s, self.sleep)


@pytest.fixture
def run(tmp_path):
    return tmp_path / "runs" / "it"


def restarts_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "restarts.jsonl").read_text().splitlines()]


def test_a_run_that_goes_well_is_started_once(run, capfd):
    cluster = FakeCluster(run, "finish")
    assert cluster.supervisor().supervise() == 0
    run_id = read_record(run).run_id
    assert cluster.started == [(f"{run_id}/1", ["node1", "node2", "node3"], False)]
    assert not (run / "restarts.jsonl").exists()
    assert cluster.cleared[0] == cluster.cleared[-1] == (["node1", "node2", "node3"], "")
    assert "finished" in capfd.readouterr().out and "launch: finished" in (run / "train.log").read_text()


def test_goes_on_from_the_last_checkpoint_and_says_why(run):
    cluster = FakeCluster(run, "die 137 40", "finish")
    assert cluster.supervisor().supervise() == 0
    assert [resumes for _, _, resumes in cluster.started] == [False, True]
    (restart,) = restarts_of(run)
    assert restart.pop("time") > 0
    assert restart == {
        "attempt": 2, "reason": "rank 1 on node2 was killed (SIGKILL)", "exit_code": 137, "pause_s": 1.0, "step": 40,
        "hosts": ["node1", "node2", "node3"], "ranks": 3,
    }  # fmt: skip
    assert "rank 1 on node2 was killed (SIGKILL)" in (run / "train.log").read_text()


@pytest.mark.parametrize(("action", "code"), [("die 2", 2), ("die 5 20", 5), ("die 3", 3)])
def test_what_would_happen_again_is_final(run, action, code):
    cluster = FakeCluster(run, action)
    assert cluster.supervisor().supervise() == code
    assert len(cluster.started) == 1
    assert "it went wrong" in (run / "train.log").read_text()


def test_gives_up_after_so_many_restarts_with_growing_pauses(run):
    cluster = FakeCluster(run, "die 1")
    with pytest.raises(ClusterError, match="after 3 restarts.*exit code 1: it went wrong"):
        cluster.supervisor(max_restarts=3).supervise()
    assert len(cluster.started) == 4
    assert [restart["pause_s"] for restart in restarts_of(run)] == [1, 2, 4]


def test_pauses_start_over_after_progress(run):
    cluster = FakeCluster(run, "die 1", "die 1", "die 1 5", "die 1", "finish")
    assert cluster.supervisor().supervise() == 0
    assert [restart["pause_s"] for restart in restarts_of(run)] == [1, 2, 1, 2]
    assert pause_after(7) == pause_after(40) == 60


def test_goes_on_without_a_host_that_is_gone(run):
    cluster = FakeCluster(run, "die 255 30", "finish")
    cluster.away = {"node2": (0.4, 1e9)}
    assert cluster.supervisor().supervise() == 0
    assert [hosts for _, hosts, _ in cluster.started] == [["node1", "node2", "node3"], ["node1", "node3"]]
    (restart,) = restarts_of(run)
    assert (restart["ranks"], restart["hosts"]) == (2, ["node1", "node3"])
    assert "node2 does not answer (no route)" in restart["reason"]


def test_takes_a_host_in_again_when_it_is_back(run):
    cluster = FakeCluster(run, "train", "finish")
    cluster.away = {"node3": (0, 12)}
    assert cluster.supervisor().supervise() == 0
    assert [hosts for _, hosts, _ in cluster.started] == [["node1", "node2"], ["node1", "node2", "node3"]]
    (restart,) = restarts_of(run)
    assert (restart["reason"], restart["exit_code"], restart["pause_s"], restart["step"]) == ("node3 is back", 0, 0, 10)
    looks = [(hosts, spared) for hosts, spared in cluster.cleared if spared]
    assert looks and all(look == (["node3"], cluster.started[0][0]) for look in looks)  # nothing of the job that runs


def test_a_host_that_cannot_train_is_left_out_and_named(run):
    cluster = FakeCluster(run, "finish")
    cluster.unfit = {"node1"}
    assert cluster.supervisor().supervise() == 0
    assert cluster.started[0][1] == ["node2", "node3"]
    assert "launch: node1 cannot train: torch: another" in (run / "train.log").read_text()


def test_does_not_begin_with_fewer_than_the_fewest_ranks(run):
    cluster = FakeCluster(run, "finish")
    cluster.away, cluster.unfit = {"node2": (0, 1e9)}, {"node3"}
    with pytest.raises(ClusterError, match="1 of 3 ranks.*--min-np 2: node2 does not answer.*node3 cannot train"):
        cluster.supervisor(min_np=2).supervise()
    assert not cluster.started


@pytest.mark.slow
def test_a_run_that_began_waits_for_hosts(run):
    cluster = FakeCluster(run, "die 255 30", "finish")
    cluster.away = dict.fromkeys(("node1", "node2", "node3"), (0.4, 40))
    assert cluster.supervisor().supervise() == 0
    assert len(cluster.started) == 2 and cluster.now_s >= 40
    assert (run / "train.log").read_text().count("waits: 0 of 3 ranks") == 1


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


@pytest.mark.parametrize("ignores", [False, True])
def test_a_terminal_that_is_gone_asks_to_stop_and_takes_no_line_more(ignores, tmp_path):
    """But not one that is left behind on purpose, with nohup."""
    program = f"""if True:
        import os, signal
        if {ignores}:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        from horovod_ocr.launch.supervise import LaunchSignals
        with LaunchSignals() as signals:
            input()
            os.kill(os.getpid(), signal.SIGHUP)
            if signals.received:
                print("a line more", flush=True)
            open({str(tmp_path / "received")!r}, "w").write(signals.received)
    """
    terminal, its_end = os.openpty()
    started = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=its_end)
    os.close(its_end)
    os.close(terminal)
    started.communicate(b"\n", timeout=60)
    assert started.returncode == 0
    assert (tmp_path / "received").read_text() == ("" if ignores else "SIGHUP")


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


def test_a_horovodrun_that_hangs_after_a_stalled_rank_is_killed(run):
    cluster = FakeCluster(run, "hang", "finish")
    assert cluster.supervisor().supervise() == 0
    (restart,) = restarts_of(run)
    assert restart["reason"] == "stalled: rank 0 on node1, step 3: no progress; horovodrun did not end"
    assert restart["exit_code"] == -9


def test_a_job_that_says_nothing_is_killed(run, monkeypatch):
    monkeypatch.setattr(watch, "START_UP_S", 5.0)
    cluster = FakeCluster(run, "deaf", "finish")
    assert cluster.supervisor().supervise() == 0
    assert restarts_of(run)[0]["reason"] == "no sign of life of rank 0 for 15 s"


def ending(code: int, state: str = "training", took_steps: bool = False, forced: bool = False) -> Ending:
    return Ending(code, "why", RunState(state, 10, 100), took_steps, forced=forced)


def test_the_last_word_of_the_run_goes_before_exit_codes():
    assert judge(ending(0, "finished"), Tally()) == judge(ending(139, "finished"), Tally()) == "finished"
    assert judge(ending(0, "stopped"), Tally()) == "stopped"
    assert judge(ending(-9, "stopped", forced=True), Tally()) == "again"  # it was we who ended it
    assert judge(ending(0), Tally()) == "again"  # left with 0, and has not said that it is finished


def test_data_errors_are_final_only_where_storage_cannot_be_on_its_way_back():
    tally = Tally()
    tally.add(first := ending(3), None)
    assert judge(first, tally) == "failed"
    tally.add(stepped := ending(3, took_steps=True), None)
    assert judge(stepped, tally) == "again"
    verdicts = []
    for _ in range(5):
        tally.add(ending(3), None)
        verdicts.append(judge(ending(3), tally))
    assert verdicts == ["again"] * 4 + ["failed"]


@pytest.mark.parametrize("code", [1, 4, 134, 137, 143, 255, -9, -15])
def test_what_may_go_better_next_time_is_tried_again(code):
    assert judge(ending(code), Tally()) == "again"
