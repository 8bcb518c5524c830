"""Made-up hosts, of which one has a problem: its cell, and how to repair it."""

import copy

import pytest

from horovod_ocr.launch.hosts.judge import judge
from horovod_ocr.launch.hosts.report import Cell, DoctorReport, Probe

GB = 1_000_000_000


def facts_of(number: int, gpus: int = 0) -> dict:
    """The answers of a host with nothing wrong."""
    horovod = {"version": "0.28.1", "gloo": True, "mpi": True, "nccl": gpus > 0}
    return {
        "machine": {"name": f"node{number}", "cores": 10},
        "python": {"version": "3.11.7", "executable": "/env/bin/python"},
        "torch": {"version": "2.13.0"},
        "horovod": {"version": "0.28.1+torch2.13.0.mpi"},
        "package": {"version": "0.1.0", "sources": "a" * 64, "folder": "/project"},
        "gpus": {"names": ["H200"] * gpus, "driver": "565.57" if gpus else ""},
        "memory": {"free_bytes": 20 * GB, "total_bytes": 32 * GB, "shared_bytes": 8 * GB},
        "disk": {"free_bytes": 70 * GB, "total_bytes": 100 * GB},
        "shards": {"digest": "1" * 64, "train": 1000, "batch_bytes": 10_000_000},
        "runs": {"sees_mark": True},
        "interfaces": {"addresses": {"eth0": [f"10.0.0.{number}"], "docker0": ["172.17.0.1"]}},
        "build": {"torch": "2.13.0", "cuda": "12.8" if gpus else "", "gpus": gpus, "horovod": horovod}
        | {"gpu_problem": "", "gpu_remark": ""},
    }


def hosts_with(change: dict | None = None, gpus: int = 0, slots: int = 1, **of_probe) -> list[Probe]:
    """node1, which asks, node2, and node3 with some facts changed."""
    probes = [Probe(f"node{n}", slots, facts_of(n, gpus), is_this_machine=n == 1) for n in (1, 2, 3)]
    facts = copy.deepcopy(probes[2].facts)
    for fact, values in (change or {}).items():
        facts[fact] = values if "why" in values else facts[fact] | values
    return [*probes[:2], Probe("node3", slots, facts, **of_probe)]


def report_on(probes: list[Probe], workers: int = -1, device: str = "auto") -> DoctorReport:
    return judge(probes, facts_of(1)["interfaces"]["addresses"], workers=workers, device=device)


def cells_of(report: DoctorReport, row: str) -> tuple[Cell, ...]:
    return next(each.cells for each in report.rows if each.fact == row)


def test_hosts_that_are_alike_can_train():
    report = report_on(hosts_with())
    assert report.can_start and report.fit_hosts == report.hosts == ("node1", "node2", "node3")
    assert {cell.state for row in report.rows for cell in row.cells} == {"ok"}
    assert [cell.text for cell in cells_of(report, "horovod")] == ["0.28.1 gloo mpi"] * 3
    assert [cell.text for cell in cells_of(report, "network")] == ["eth0"] * 3
    assert not any(report.remarks(host, state) for host in report.hosts for state in ("fails", "warns"))


WRONG = [
    ("python", {"python": {"version": "3.12.1"}}, "fails", "3.12.1 here, 3.11.7 on node1, node2; make the environment"),
    ("torch", {"torch": {"version": "2.9.0"}}, "fails", "2.9.0 here, 2.13.0 on node1, node2"),
    ("torch", {"torch": {"why": "torch is not in this environment"}}, "fails", "make setup"),
    ("torch", {"build": {"why": "loading torch and Horovod ended with code -11"}}, "fails", "code -11"),
    ("horovod", {"horovod": {"version": "0.28.1+torch2.13.0"}}, "fails", "0.28.1+torch2.13.0 here"),
    ("horovod", {"horovod": {"why": "horovod is not in this environment"}}, "fails", "make setup"),
    ("horovod", {"build": {"horovod": {"why": "Horovod does not load (libmpi.so)"}}}, "fails", "libmpi.so"),
    ("horovod", {"build": {"horovod": {"gloo": False, "mpi": True, "nccl": False}}}, "fails", "without Gloo"),
    ("package", {"package": {"version": "0.0.9"}}, "fails", "0.0.9 here, 0.1.0 on node1, node2"),
    ("package", {"package": {"sources": "b" * 64}}, "warns", "/project are not those of node1, node2"),
    ("package", {"package": {"why": "/project: Stale file handle"}}, "fails", "Stale file handle"),
    ("GPU, driver", {"gpus": {"why": "nvidia-smi: has failed"}}, "fails", "repair the driver"),
    ("memory", {"memory": {"free_bytes": GB // 2}}, "warns", "end what else runs"),
    ("memory", {"memory": {"why": "no answer within 45 s"}}, "warns", "45 s"),
    ("disk", {"disk": {"free_bytes": GB}}, "warns", "--runs"),
    ("disk", {"disk": {"why": "no answer within 45 s"}}, "warns", "45 s"),
    ("shards", {"shards": {"digest": "2" * 64}}, "fails", "another shard set than on node1, node2"),
    ("shards", {"shards": {"why": "no shards: there is no folder shards"}}, "fails", "no folder shards"),
    ("shards", {"shards": {"train": 0}}, "fails", "its train split is empty; divide its images"),
    ("runs", {"runs": {"why": "/data/runs: Read-only file system"}}, "fails", "Read-only file system; give --runs"),
    ("runs", {"runs": {"sees_mark": False}}, "warns", "put runs on storage that all hosts share"),
    ("network", {"interfaces": {"addresses": {"ens5": ["10.0.0.3"]}}}, "fails", "others meet through eth0"),
    ("network", {"interfaces": {"addresses": {}}}, "fails", "others meet through eth0"),
    ("network", {"interfaces": {"why": "no answer within 45 s"}}, "warns", "45 s"),
]


@pytest.mark.parametrize(("row", "change", "state", "words"), WRONG)
def test_a_problem_is_reported_on_its_host(row, change, state, words):
    report = report_on(hosts_with(change))
    first, second, third = cells_of(report, row)
    assert (first.state, second.state, third.state) == ("ok", "ok", state)
    assert words in third.remark
    assert report.can_start == (state == "warns")
    assert report.fit_hosts == (("node1", "node2") if state == "fails" else report.hosts)
    assert f"{row}: {third.remark}" in report.remarks("node3", state)


def test_a_host_that_does_not_answer_leaves_the_others_judged():
    report = report_on(hosts_with({"shards": {"digest": "2" * 64}}, error="Connection refused; start sshd"))
    assert report.fit_hosts == ("node1", "node2")
    assert report.remarks("node3", "fails") == ["ssh: Connection refused; start sshd"]
    assert {row.cells[2].state for row in report.rows[1:]} == {"unknown"}
    assert {cell.state for row in report.rows for cell in row.cells[:2]} == {"ok"}


def test_no_host_answers():
    report = judge([Probe("node1", error="off"), Probe("node2", error="off")])
    assert report.fit_hosts == () and [row.fact for row in report.rows] == ["ssh"]


def test_of_two_that_differ_the_first_is_right():
    report = report_on([probe for probe in hosts_with({"python": {"version": "3.12.1"}}) if probe.host != "node2"])
    assert report.fit_hosts == ("node1",)


@pytest.mark.parametrize(
    ("off_s", "state", "words"), [(-30.0, "warns", "behind"), (4, "warns", "ahead"), (1, "ok", "")]
)
def test_clocks(off_s, state, words):
    cell = cells_of(report_on(hosts_with(clock_off_s=off_s)), "clock")[2]
    assert cell.state == state and words in cell.remark and cell.text == f"{off_s:+.1f} s"


def gpu_cell(probes: list[Probe], host: int = 2, **options) -> Cell:
    return cells_of(report_on(probes, **options), "GPU, driver")[host]


def test_gpus_on_all_hosts_or_on_none():
    assert report_on(hosts_with(gpus=2, slots=2)).can_start
    missing = {"gpus": {"names": [], "driver": ""}, "build": {"gpus": 0}}
    cell = gpu_cell(hosts_with(missing, gpus=1))
    assert cell.state == "fails" and "but on node1, node2" in cell.remark
    older = gpu_cell(hosts_with({"gpus": {"driver": "550.54"}}, gpus=1))
    assert older.state == "warns" and "550.54 here, 565.57 on node1, node2" in older.remark


def test_gpus_of_several_kinds_are_said():
    cells = cells_of(report_on(hosts_with({"gpus": {"names": ["T4"]}}, gpus=1)), "GPU, driver")
    assert {cell.state for cell in cells} == {"warns"} and "than on node1, node2" in cells[2].remark


def test_more_slots_than_gpus_mean_the_cpu_and_with_cuda_nothing():
    cell = gpu_cell(hosts_with(gpus=1, slots=2))
    assert cell.state == "warns" and "slots=2, but GPUs: 1; lower its slots, or all ranks" in cell.remark
    assert gpu_cell(hosts_with(gpus=1, slots=2), device="cuda").state == "fails"
    assert gpu_cell(hosts_with(gpus=1, slots=2), device="cpu") == Cell("1 H200, 565.57")
    assert gpu_cell(hosts_with(gpus=0), device="cuda").state == "fails"
    # what torch sees counts, not what the driver lists
    hidden = gpu_cell(hosts_with({"build": {"gpus": 1}}, gpus=2, slots=2))
    assert hidden.state == "warns" and "GPUs: 1" in hidden.remark


def test_a_gpu_that_torch_does_not_see_or_cannot_use():
    remark = "torch 2.13.0+cpu is built without CUDA"
    unseen = gpu_cell(hosts_with({"build": {"gpus": 0, "gpu_remark": remark}}, gpus=1))
    assert unseen.state == "fails" and f"torch sees no GPU here: {remark}" in unseen.remark
    broken = {"build": {"gpus": 0, "gpu_problem": "the driver is too old"}}
    cell = gpu_cell(hosts_with(broken, gpus=1))
    assert cell.state == "fails" and "too old; or train on the CPUs: --device cpu" in cell.remark
    assert gpu_cell(hosts_with(broken, gpus=1), device="cpu").state == "ok"


def test_several_ranks_on_gpus_want_nccl():
    horovod = {"version": "0.28.1", "gloo": True, "mpi": True, "nccl": False}
    without = {"build": {"horovod": horovod}}

    def cell_of(**options) -> Cell:
        slots = options.pop("slots", 1)
        return cells_of(report_on(hosts_with(without, gpus=1, slots=slots), **options), "horovod")[2]

    assert cell_of().state == "fails" and "--nccl" in cell_of().remark
    assert cell_of(device="cpu").state == cell_of(slots=2).state == "ok", "they train on the CPU"
    facts = facts_of(1, gpus=1) | {"build": facts_of(1, gpus=1)["build"] | {"horovod": horovod}}
    assert judge([Probe("localhost", 1, facts, is_this_machine=True)]).can_start, "one rank sums nothing"


@pytest.mark.parametrize(
    ("shared_bytes", "gpus", "slots", "workers", "fails"),
    [
        (64 << 20, 1, 1, 4, True),  # a container's: 4 workers x 2 batches and 2 of the rank, of 10 MB: 100 MB
        (39_999_999, 1, 1, -1, True),  # not even one worker's beside the GPU
        (64 << 20, 0, 1, -1, False),  # without a GPU there are none
        (64 << 20, 1, 1, 0, False),
        (64 << 20, 0, 1, 2, False),  # 2 workers x 2 batches and 2 of the rank, of 10 MB: 60 MB
        (64 << 20, 0, 2, 2, True),
        (59_999_999, 0, 1, 2, True),
        (60_000_000, 0, 1, 2, False),
    ],
)
def test_the_batches_of_the_loader_workers_must_fit_the_shared_memory(shared_bytes, gpus, slots, workers, fails):
    little = {"memory": {"shared_bytes": shared_bytes}}
    report = report_on(hosts_with(little, gpus=max(gpus * slots, gpus), slots=slots), workers)
    first, second, third = cells_of(report, "/dev/shm")
    assert (first.state, second.state, third.state) == ("ok", "ok", "fails" if fails else "ok")
    assert (report.fit_hosts == ("node1", "node2")) == fails
    assert not fails or ("docker run --shm-size=" in third.remark and "--set workers=0" in third.remark)


def test_fewer_workers_beside_a_gpu_than_its_cores_would_feed_are_said():
    little = {"memory": {"shared_bytes": 100_000_000}}
    report = report_on(hosts_with(little, gpus=2, slots=2))
    first, second, third = cells_of(report, "/dev/shm")
    assert report.can_start and (first.state, second.state, third.state) == ("ok", "ok", "warns")
    assert third.remark.startswith("room for 1 loader workers of each rank, not 4; give the container more")
    few = {"machine": {"cores": 4}} | little
    assert cells_of(report_on(hosts_with(few, gpus=2, slots=2)), "/dev/shm")[2].state == "ok"


def test_shared_memory_without_shards_to_tell_what_is_needed():
    none = {"shards": {"why": "no shards"}, "memory": {"shared_bytes": 64 << 20}}
    assert cells_of(report_on(hosts_with(none, gpus=1)), "/dev/shm")[2].state == "warns"
    assert cells_of(report_on(hosts_with(none)), "/dev/shm")[2].state == "ok"
    assert cells_of(report_on(hosts_with({"memory": {"shared_bytes": None}})), "/dev/shm")[2].state == "unknown"


def test_one_process_on_this_machine_needs_no_horovod():
    facts = facts_of(1) | {"horovod": {"why": "horovod is not in this environment"}}
    alone = judge([Probe("localhost", 1, facts, is_this_machine=True)])
    assert alone.can_start and cells_of(alone, "horovod")[0].state == "warns"
    assert not judge([Probe("localhost", 2, facts, is_this_machine=True)]).can_start
    assert cells_of(alone, "network")[0].text == "lo"


def test_the_machine_that_starts_the_ranks_must_reach_them():
    probes = [Probe(f"node{n}", 1, facts_of(n)) for n in (1, 2)]
    report = judge(probes, {"wlan0": ["10.0.0.9"]})
    assert {cell.state for cell in cells_of(report, "network")} == {"fails"}
    assert "this machine, which starts the ranks" in cells_of(report, "network")[0].remark


def test_interfaces_that_are_given_need_no_common_name():
    report = judge([Probe(f"node{n}", 1, facts_of(n)) for n in (1, 2)], {"wlan0": ["10.0.0.9"]}, interfaces_given=True)
    assert {cell.state for cell in cells_of(report, "network")} == {"warns"} and report.can_start


def test_this_machine_reached_by_ssh_is_one_machine():
    """As `node1 port=22` is: its addresses are listed twice, and are still its own."""
    probes = [Probe("node1", 1, facts_of(1)), Probe("node2", 1, facts_of(2))]
    assert [cell.text for cell in cells_of(report_on(probes), "network")] == ["eth0"] * 2
    assert [cell.text for cell in cells_of(report_on(probes[:1]), "network")] == ["lo"]


def test_no_machine_has_an_address_of_its_own():
    probes = [Probe(f"node{n}", 1, facts_of(n) | {"interfaces": {"addresses": {}}}) for n in (1, 2)]
    for cell in cells_of(judge(probes, {}), "network"):
        assert (cell.text, cell.state) == ("none", "fails") and "connect them" in cell.remark


def test_a_row_only_for_what_was_asked():
    probes = [Probe("node1", 1, {"cache": {"why": "/fast: Permission denied"}, "python": {"version": "3.11.7"}})]
    report = judge(probes)
    assert [row.fact for row in report.rows] == ["ssh", "python", "cache"]
    assert report.can_start and "own disk" in report.remarks("node1", "warns")[0]
