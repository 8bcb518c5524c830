"""Hosts are asked and answer, or do not; the first contact of their ranks is judged."""

import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.launch.hosts import ask_ranks, contact, doctor
from horovod_ocr.launch.hosts.ask_ranks import why_horovodrun_failed
from horovod_ocr.launch.hosts.contact import Contact, gradient_bytes
from horovod_ocr.launch.hosts.doctor import (
    failed_contact,
    judge_contact,
    marked,
    probe_host,
    probe_hosts,
    wanted_bytes,
    why_no_answer,
)
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.probe import Request, probe_command
from horovod_ocr.launch.hosts.report import Cell
from horovod_ocr.launch.hosts.ssh import FAILED, TIMED_OUT, Answer

ASKED = Request("shards", "runs", loads=False)
SSH_ENDS = [
    (FAILED, "root@node3: Permission denied (publickey,password).", "ssh-copy-id node3"),
    (FAILED, "Host key verification failed.", "log in once by hand: ssh node3"),
    (FAILED, "ssh: Could not resolve hostname node3: Name or service not known", "address="),
    (FAILED, "ssh: connect to host node3 port 22: Connection refused", "port="),
    (FAILED, "ssh: connect to host node3 port 22: Connection timed out", "its cable"),
    (FAILED, "", "ssh node3"),
    (TIMED_OUT, "no answer within 75 s", "overloaded"),
    (127, "env: '/env/bin/python': No such file or directory", "same path: make setup"),
    (1, "/env/bin/python: Error while finding module specification for 'horovod_ocr.launch.hosts.probe'", "make setup"),
    (1, "bash: line 1: cd: /home/me/work: No such file or directory", "same path there"),
    (2, "sh: 1: cd: can't cd to /home/me/work", "same path there"),
    (-9, "", "exit code -9"),
]


@pytest.mark.parametrize(("code", "said", "words"), SSH_ENDS)
def test_why_a_host_does_not_answer(code, said, words):
    assert words in why_no_answer(Host("node3"), Answer(code, "", said))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("permission denied", "ssh-copy-id -p 2222 10.0.0.3"),
        ("Host key verification failed.", "by hand: ssh -p 2222 10.0.0.3"),
        ("REMOTE HOST IDENTIFICATION HAS CHANGED!", "ssh-keygen -R '[10.0.0.3]:2222'"),
        ("", "by hand: ssh -p 2222 10.0.0.3"),
    ],
)
def test_what_a_person_is_told_to_type_finds_the_host_without_hosts_txt(said, words):
    host = Host("node3", address="10.0.0.3", port=2222)
    assert why_no_answer(host, Answer(FAILED, "", said)).endswith(words)


class FakeSsh:
    """Hosts with a given answer. ahead_s: of their clocks. time_s: of our clock; each way takes 1 s."""

    def __init__(self, ahead_s: float = 0.0, out: str | None = None):
        self.ahead_s, self.out, self.time_s = ahead_s, out, 1e9

    def run(self, host: Host, command: list[str], input: str = "", timeout_s: float = 60) -> Answer:
        assert command == probe_command() and json.loads(input)["shards"] == "shards"
        if host.name == "off.invalid":
            return Answer(FAILED, "", "ssh: connect to host off.invalid port 22: No route to host")
        self.time_s += 1
        answers = {"machine": {"name": host.name}, "took_s": 0.0, "clock": self.time_s + self.ahead_s}
        self.time_s += 1
        return Answer(0, json.dumps(answers) if self.out is None else self.out, "")


@pytest.mark.parametrize(("ahead_s", "off_s"), [(-100, -99), (-1, 0), (0, 0), (1, 0), (100, 99)])
def test_clocks_differ_by_what_the_way_does_not_explain(ahead_s, off_s):
    ssh = FakeSsh(ahead_s)
    found = probe_host(ssh, Host("on.invalid"), ASKED, clock=lambda: ssh.time_s)
    assert found.error is None and found.clock_off_s == off_s


def test_hosts_are_probed_in_their_order():
    found = probe_hosts(FakeSsh(), [Host("on.invalid", 4), Host("off.invalid"), Host("other.invalid")], ASKED)
    assert [(probe.host, probe.slots, bool(probe.error)) for probe in found] == [
        ("on.invalid", 4, False),
        ("off.invalid", 1, True),
        ("other.invalid", 1, False),
    ]


@pytest.mark.parametrize("out", ["", "Welcome!", "[1, 2]", "{}", "null"])
def test_an_answer_that_is_none(out):
    assert probe_host(FakeSsh(out=out), Host("on.invalid"), ASKED).error


def test_a_greeting_of_the_shell_does_not_hide_the_answer():
    answer = json.dumps({"machine": {"name": "a"}, "took_s": 0.0, "clock": time.time()})
    assert probe_host(FakeSsh(out=f"Welcome!\n{answer}\n"), Host("on.invalid"), ASKED).error is None


def test_the_mark_is_gone_afterwards(tmp_path):
    with marked(str(tmp_path / "runs")) as mark:
        assert (tmp_path / mark).exists()
    assert list(tmp_path.iterdir()) == []
    with marked(str(Path("/proc/runs"))) as mark:
        assert mark is None


@pytest.mark.slow
def test_this_machine_alone(word_shards, tmp_path):
    config = TrainConfig.of(shards=str(word_shards), runs=str(tmp_path / "runs"))
    report = doctor.examine([Host("localhost")], config, quick=True)
    assert report.hosts == ("localhost",) and report.can_start
    said = {row.fact: row.cells[0].text for row in report.rows}
    assert (said["ssh"], said["runs"]) == ("this machine", "writable")


def test_the_first_contact_and_its_bandwidth_beside_what_gradients_need():
    hosts = [Host("node1"), Host("node2", 2)]
    names = ("node1", "node2", "node3")
    first, speed, needs = judge_contact(names, hosts, Contact("cuda", 100e6), 27_000_000)
    assert [cell.text for cell in first.cells] == ["3 ranks, cuda", "3 ranks, cuda", ""]
    assert [cell.text for cell in speed.cells] == ["100 MB/s", "100 MB/s", ""]
    assert needs.cells[0] == Cell("27.0 MB in 0.27 s") and needs.cells[2].state == "unknown"
    slow = judge_contact(names, hosts, Contact("cpu", 10e6), 27_000_000)[2].cells[0]
    assert slow.state == "warns" and "2.7 s" in slow.remark and "--compression fp16" in slow.remark
    assert [row.fact for row in judge_contact(names, hosts, Contact("cpu", 100e6), None)] == [
        "first contact",
        "bandwidth",
    ]
    assert [row.fact for row in judge_contact(names, hosts[1:], Contact("cpu", 100e6), 5)] == ["first contact"]
    slow = judge_contact(names, hosts[1:], Contact("cpu", 1e6, "ranks on node2: 2, GPUs: 1"), 5)[0].cells[1]
    assert slow.state == "warns" and slow.remark.endswith("on the CPU: ranks on node2: 2, GPUs: 1")
    none = failed_contact(names, hosts, "no allreduce ended within 160 s")
    assert none.cells[0].state == "fails" and "all ports open" in none.cells[0].remark


def test_what_tells_most_of_what_horovodrun_said():
    ended = (
        "[1]<stderr>:libmpi.so: not found\n[0]<stderr>:Terminated\nhorovodrun: rank 1 ended first, with exit code 1\n"
    )
    assert why_horovodrun_failed(ended, 1) == "rank 1: libmpi.so: not found"
    unreached = "starting\nNoValidAddressesFound: Horovod was unable to connect to task service #0\nTo fix it, rename\n"
    assert "unable to connect" in why_horovodrun_failed(unreached, 1)
    assert why_horovodrun_failed("", 7) == "horovodrun ended with code 7"
    nccl = (
        "[0]<stdout>:node1:71:90 [0] bootstrap.cc:45 NCCL WARN Bootstrap : no socket interface found\n"
        "[0]<stderr>:rank 0 on node1: the first contact stopped: ncclCommInitRank failed: internal error\n"
        "horovodrun: rank 0 ended first, with exit code 1\n"
    )
    assert why_horovodrun_failed(nccl, 1).endswith("internal error (NCCL: Bootstrap : no socket interface found)")


@pytest.mark.slow
def test_an_interrupt_ends_what_measures(tmp_path, monkeypatch):
    """It runs in a session of its own, which an interrupt in the terminal does not reach."""
    pid = tmp_path / "pid"
    command = ["sh", "-c", f"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 60"]
    monkeypatch.setattr(ask_ranks, "spell_horovodrun", lambda hosts, program, options: command)

    def interrupt(number, frame):
        if pid.exists():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        with pytest.raises(KeyboardInterrupt):
            contact.meet(SimpleNamespace(environment=lambda: dict(os.environ)), [Host("a")], "auto", 20)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_bytes_of_the_gradients(word_shards):
    """Four for each parameter."""
    from horovod_ocr.models.build import build_model
    from horovod_ocr.tasks.words import WordTask
    from sharding.format.index import read_index

    config = TrainConfig.of(shards=str(word_shards), model_options={"width": 0.25, "hidden": 24})
    model = build_model("crnn", WordTask.of(read_index(word_shards), config).outputs, 64, width=0.25, hidden=24)
    assert gradient_bytes(config) == sum(parameter.nbytes for parameter in model.parameters())
    assert wanted_bytes(TrainConfig.of(shards="none")) is None
