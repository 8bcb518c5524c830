"""ssh with the addresses of hosts.txt, and commands on this machine, which need no ssh."""

import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.hosts.hosts_file import Host, parse_hosts
from horovod_ocr.launch.hosts.ssh import NOT_FOUND, TIMED_OUT, Ssh, is_local

needs_ssh = pytest.mark.skipif(not shutil.which("ssh"), reason="needs openssh-server")
HOSTS = parse_hosts(
    "node1\nnode2 address=192.0.2.2\nnode3 port=2223\nnode4 address=fd00::4 port=24\n[fd00::5%eth9]:4", "t"
)
LOCAL = Host("localhost", 2)


def settings_of(ssh: Ssh, alias: str, *options: str) -> dict[str, str]:
    """The settings of the ssh that a launcher finds, by name."""
    shown = subprocess.run(
        ["ssh", "-T", "-G", *options, alias], env=ssh.environment(), capture_output=True, text=True, check=True
    )
    return dict(line.split(" ", 1) for line in shown.stdout.splitlines() if " " in line)


@needs_ssh
@pytest.mark.parametrize(
    ("alias", "name", "port"),
    [
        ("node1", "node1", "22"),
        ("node2", "192.0.2.2", "22"),
        ("node3", "node3", "2223"),
        ("node4", "fd00::4", "24"),
        ("ipv6-fd00--5-eth9", "fd00::5%eth9", "22"),
    ],
)
def test_a_launcher_s_ssh_finds_each_host_where_hosts_txt_says_and_notices_when_it_is_gone(tmp_path, alias, name, port):
    found = settings_of(Ssh(HOSTS, tmp_path / "it's here"), alias)
    assert (found["hostname"], found["port"]) == (name, port)
    assert (found["serveraliveinterval"], found["serveralivecountmax"], found["connecttimeout"]) == ("5", "3", "10")
    assert found["batchmode"] == "yes" and "controlpath" not in found


@needs_ssh
def test_what_a_launcher_asks_for_itself_goes_first(tmp_path):
    found = settings_of(Ssh(HOSTS, tmp_path, alive_interval_s=1), "node3", "-p", "99", "-o", "ConnectTimeout=3")
    assert (found["port"], found["connecttimeout"], found["serveraliveinterval"]) == ("99", "3", "1")


@needs_ssh
def test_one_folder_used_again_and_one_within_another_end_at_the_real_ssh(tmp_path, monkeypatch):
    for name, interval_s in (("one", 1), ("one", 2), ("two", 3)):
        ssh = Ssh(HOSTS, tmp_path / name, alive_interval_s=interval_s)
        monkeypatch.setenv("PATH", ssh.environment()["PATH"])
    assert settings_of(ssh, "node1")["serveraliveinterval"] == "3"


def test_without_ssh_this_machine_alone_can_be_used(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="no ssh on this machine; install it"):
        Ssh((LOCAL, Host("node1", address="192.0.2.1")), tmp_path / "ssh")
    assert Ssh((LOCAL,), tmp_path / "ssh").run(LOCAL, [sys.executable, "-c", "print(7)"]).out == "7\n"


def test_a_command_on_this_machine_runs_in_the_working_folder_and_answers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = "import os, sys; print(os.getcwd(), sys.stdin.read()); print('oh', file=sys.stderr); sys.exit(3)"
    answer = Ssh((LOCAL,), tmp_path / "ssh").run(LOCAL, [sys.executable, "-c", program], input="what was said")
    assert answer == (3, f"{tmp_path} what was said\n", "oh\n")


@pytest.mark.slow
def test_what_does_not_end_or_does_not_exist_is_an_answer_too(tmp_path):
    ssh = Ssh((LOCAL,), tmp_path / "ssh")
    assert ssh.run(LOCAL, ["sleep", "60"], timeout_s=0.2) == (TIMED_OUT, "", "no answer within 0.2 s")
    assert ssh.run(LOCAL, [str(tmp_path / "none")]).code == NOT_FOUND
    assert ssh.run(LOCAL, ["printf", r"\377"]).out == "\ufffd"
    assert ssh.run(LOCAL, ["sh", "-c", "kill -9 $$"]).code == -9


def test_what_a_terminal_sends_does_not_reach_a_command(tmp_path):
    program = "import os; print(os.getsid(0) == os.getpid())"
    assert Ssh((LOCAL,), tmp_path / "ssh").run(LOCAL, [sys.executable, "-S", "-c", program]).out == "True\n"


def test_commands_that_nobody_waits_for_any_more_are_ended(tmp_path):
    ssh = Ssh((LOCAL,), tmp_path / "ssh")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ssh.run, LOCAL, ["sh", "-c", "sleep 60; true"])
        while not ssh.running:
            time.sleep(0.01)
        ssh.end()
        assert answer.result().code == -9
    assert not ssh.running


def test_arguments_reach_the_other_host_s_shell_as_they_are(tmp_path, monkeypatch):
    """With a fake ssh that passes its last argument to a shell, as sshd does."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text('#!/bin/sh\nfor last; do :; done\necho "$1" "$3"; cd /; exec sh -c "$last"\n')
    (tmp_path / "bin/ssh").chmod(0o755)
    folder = tmp_path / "a folder; with 'quotes' $HOME"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", "/some where:/else")
    (host,) = parse_hosts("[fd00::1]:2", "t")
    program = "import os, sys; print([os.getcwd(), os.environ['PYTHONPATH'], *sys.argv[1:]])"
    words = ["two words", "$HOME", "'", '"', "*", ";", ""]
    answer = Ssh((host,), tmp_path / "ssh").run(host, [sys.executable, "-c", program, *words])
    assert answer.out == f"-F ipv6-fd00--1\n{[str(folder), '/some where:/else', *words]}\n"


@pytest.mark.parametrize(
    ("line", "here"),
    [
        ("localhost", True),
        ("127.0.0.1:4", True),
        ("here address=127.0.0.1", True),
        ("tunnel address=127.0.0.1 port=2222", False),
        ("192.0.2.1", False),
        ("localhost address=192.0.2.1", False),
        ("no-such-host.invalid", False),
    ],
)
def test_this_machine_is_known_by_its_names_and_addresses(line, here):
    assert is_local(parse_hosts(line, "t")[0]) is here
    assert is_local(Host(socket.gethostname()))
