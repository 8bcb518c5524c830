"""Hosts come, go, and break starts: the run goes on with the others."""

import pytest

from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.supervise.host_pool import HostPool
from tests.unit.launch.fake_cluster import NODES, FakeCluster, restarts_of


def test_goes_on_without_a_host_that_is_gone(run):
    cluster = FakeCluster(run, "die 255 30", "finish")
    cluster.away = {"node2": (0.4, 1e9)}
    assert cluster.supervisor().supervise() == 0
    assert [hosts for _, hosts, _ in cluster.started] == [["node1", "node2", "node3"], ["node1", "node3"]]
    (restart,) = restarts_of(run)
    assert (restart["ranks"], restart["hosts"]) == (2, ["node1", "node3"])
    assert "node2 does not answer (no route)" in restart["reason"]


@pytest.mark.slow
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
def test_a_host_that_breaks_every_start_is_left_out(run):
    cluster = FakeCluster(run, "die 1", "die 1", "train", "finish")
    assert cluster.supervisor().supervise() == 0
    all_three = ["node1", "node2", "node3"]
    assert [hosts for _, hosts, _ in cluster.started] == [all_three, all_three, ["node1", "node3"], all_three]
    assert "no step with node2; the next start goes without" in (run / "train.log").read_text()
    assert restarts_of(run)[-1]["reason"] == "node2 is back"  # asked again, later


@pytest.mark.slow
def test_a_returned_host_that_breaks_starts_never_ends_a_run_that_goes_on_without(run):
    cluster = FakeCluster(run, *["train", "die 1"] * 2, "finish")
    cluster.away = {"node3": (0, 12)}
    assert cluster.supervisor(max_restarts=1).supervise() == 0
    started = [hosts for _, hosts, _ in cluster.started]
    assert started == [["node1", "node2"], ["node1", "node2", "node3"]] * 2 + [["node1", "node2"]]


@pytest.mark.slow
def test_hosts_that_broke_a_start_are_used_where_the_others_are_too_few(run):
    cluster = FakeCluster(run, "die 1")
    with pytest.raises(ClusterError, match="after 3 restarts"):
        cluster.supervisor(min_np=3, max_restarts=3).supervise()
    assert [hosts for _, hosts, _ in cluster.started] == [["node1", "node2", "node3"]] * 4
    assert (run / "train.log").read_text().count("no step with") == 1


def test_the_pause_before_a_host_is_asked_again_grows(run):
    pool = HostPool(NODES, FakeCluster(run), print)
    pool.passed = {host.name for host in NODES}
    looks = []
    for _ in range(3):
        pool.note_steps(NODES[:2])
        assert pool.blame(NODES, "node1") == ["node3"]  # the run went without it before
        used, pool.answers = pool.choose(3, 1), {}
        assert used == NODES[:2]
        looks.append(1)
        while pool.find_returned("it/1", used) != "node3":
            looks[-1] += 1
    assert looks == [2, 4, 8]
    assert pool.blame(NODES[2:], "node3") == []  # never all
    pool.passed = {"node1", "node3"}
    assert pool.blame(NODES, "node3") == []  # it is node2, which is gone


def test_hosts_that_were_clean_at_the_end_of_a_job_are_not_asked_again_for_a_moment(run):
    cluster = FakeCluster(run)
    cluster.away = {"node3": (0, 1e9)}
    pool = HostPool(NODES, cluster, print, cluster)
    pool.passed = {host.name for host in NODES}

    def asked_by(act) -> list[list[str]]:
        cluster.cleared.clear()
        act()
        return [hosts for hosts, _ in cluster.cleared if hosts]

    assert asked_by(lambda: pool.end_job(NODES)) == [["node1", "node2", "node3"]]
    assert asked_by(lambda: pool.choose(3, 1)) == []
    assert pool.choose(3, 1) == NODES[:2]
    cluster.time_s += 2
    assert asked_by(lambda: pool.choose(3, 1)) == [["node1", "node2"]]
    pool.end_job(NODES)
    assert asked_by(lambda: pool.end_job(NODES)) == [["node1", "node2"]]  # of another job


@pytest.mark.parametrize("error", [ClusterError("no ssh on this machine"), BrokenPipeError(32, "Broken pipe")])
def test_a_check_that_fails_is_a_problem_of_its_hosts(run, error):
    class BrokenCluster(FakeCluster):
        def check(self, new, used):
            raise error

    said = []
    pool = HostPool(NODES[:1], BrokenCluster(run), said.append)
    assert pool.find_usable(NODES[:1]) == set() and said == [f"node1 cannot be checked: {error}"]


@pytest.mark.slow
def test_a_run_that_began_waits_for_hosts(run):
    cluster = FakeCluster(run, "die 255 30", "finish")
    cluster.away = dict.fromkeys(("node1", "node2", "node3"), (0.4, 40))
    assert cluster.supervisor().supervise() == 0
    assert len(cluster.started) == 2 and cluster.time_s >= 40
    assert (run / "train.log").read_text().count("waits: 0 of 3 ranks") == 1
