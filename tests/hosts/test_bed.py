"""Three hosts and one network, which ssh, horovodrun and a small training use."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from horovod_ocr.checkpoint.file import LAST, load_checkpoint
from horovod_ocr.launch.hosts.ssh import FAILED
from tests.hosts.bed import TUN, bits_per_s, pids_in, wait_until, what_is_missing
from tests.ranks.launch import environment, horovodrun

pytestmark = [pytest.mark.hosts, pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "-")]
needs_horovod = pytest.mark.skipif(not shutil.which(horovodrun()), reason="needs Horovod: make setup builds it")
needs_tun = pytest.mark.skipif(not TUN.exists(), reason=f"needs {TUN}")

ANSWERS = """
import json, sys
from pathlib import Path
from horovod_ocr.launch.hosts.hosts_file import read_hosts
from horovod_ocr.launch.hosts.ssh import Ssh, is_local
hosts = read_hosts(Path(sys.argv[1]))
ssh = Ssh(hosts, Path("ssh"), alive_interval_s=1)
for host in hosts:
    answer = ssh.run(host, sys.argv[2:], input="from standard input")
    print(json.dumps([is_local(host), *answer]), flush=True)
"""

SUM = """
import socket, torch, horovod.torch as hvd
hvd.init()
total = hvd.allreduce(torch.ones(1000) * (hvd.rank() + 1), op=hvd.Sum)
print(f"rank {hvd.rank()} on {socket.gethostname()} has {total.unique().tolist()}")
"""

SESSION = """
import sys
from pathlib import Path
from tests.hosts.bed import TUN, Bed
with Bed(Path(sys.argv[1]), count=1) as bed:
    bed.shape("node1", "100mbit", delay_ms=1 if TUN.exists() else 0)
    bed.start("node1", ["sleep", "1000"])
    print(bed.pids["switch"], bed.pids["node1"], flush=True)
    sys.stdin.read()
"""

SINK = """
import socketserver, sys
class Sink(socketserver.StreamRequestHandler):
    def handle(self):
        while size := self.rfile.read(8):
            self.rfile.read(int.from_bytes(size))
            self.wfile.write(b".")
socketserver.TCPServer.allow_reuse_address = True
with socketserver.ThreadingTCPServer(("", 5001), Sink) as server:
    print("ready", flush=True)
    server.serve_forever()
"""

SEND = """
import socket, sys, time
address, size, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
message = size.to_bytes(8) + bytes(size)
with socket.create_connection((address, 5001)) as connection:
    for _ in range(count):
        begin = time.monotonic()
        connection.sendall(message)
        connection.recv(1)
        print(begin, time.monotonic())
"""


def answers_of(bed, hosts_txt: Path, *command: str, cwd: Path) -> list[list]:
    """For each host, as node1 sees it: whether it is node1 itself, exit code, output, error output."""
    done = bed.exec("node1", [sys.executable, "-c", ANSWERS, hosts_txt, *command], cwd=cwd)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def launch_on(hosts: str | Path) -> list:
    """Without the cache of hosts that answered; with time to start, since all hosts share this machine."""
    options = ["--gloo", "--disable-cache", "--start-timeout", "120"]
    return [horovodrun(), *options, "-np", "3", "-H", hosts]


def test_each_host_has_its_name_address_processes_and_the_files_of_all(bed, tmp_path):
    show = "hostname; ip -o -4 address show dev eth0 | grep -o '10[0-9.]*' | head -n 1; cat /proc/1/comm; pwd; cat"
    answers = answers_of(bed, bed.hosts_txt, "sh", "-c", show, cwd=tmp_path)
    assert [local for local, *_ in answers] == [True, False, False]
    for number, (_, code, out, err) in enumerate(answers, start=1):
        lines = [f"node{number}", f"10.77.0.{number}", "sshd", str(tmp_path), "from standard input"]
        assert (code, out.splitlines(), err) == (0, lines, "")


def test_address_port_and_ipv6_of_hosts_txt_reach_the_hosts(bed, tmp_path):
    second = [shutil.which("sshd", path="/usr/sbin:/sbin"), "-D", "-f", bed.folder / "sshd_config", "-p", "2222"]
    bed.start("node2", second)
    wait_until(lambda: ":2222" in bed.exec("node2", ["ss", "-tln"]).stdout, "the second sshd listens")
    hosts_txt = tmp_path / "hosts.txt"
    hosts_txt.write_text(f"other address=10.77.0.2 port=2222\n[{bed.address6('node3')}]:1\n")
    answers = answers_of(bed, hosts_txt, "sh", "-c", "hostname; echo $SSH_CONNECTION | cut -d ' ' -f 3-", cwd=tmp_path)
    assert [out.splitlines() for _, _, out, _ in answers] == [["node2", "10.77.0.2 2222"], ["node3", "fd77::3 22"]]


def test_ssh_to_a_host_that_is_cut_off_ends_and_one_plugged_in_again_answers(bed, tmp_path):
    hosts_txt = tmp_path / "hosts.txt"
    hosts_txt.write_text("node2\n")
    command = [sys.executable, "-c", ANSWERS, hosts_txt, "sh", "-c", "touch begun; exec sleep 1000"]
    with bed.start("node1", command, cwd=tmp_path, stdout=subprocess.PIPE) as job:
        wait_until((tmp_path / "begun").exists, "the command on node2 begins")
        bed.cut("node2")
        local, code, _, _ = json.loads(job.communicate(timeout=120)[0])  # run itself would give up after 60 s
    assert (local, code) == (False, FAILED)
    assert "sleep 1000" in bed.processes("node2").values()  # no one told it to end
    bed.plug_in("node2")
    assert answers_of(bed, hosts_txt, "hostname", cwd=tmp_path)[0][1:3] == [0, "node2\n"]


def test_a_host_without_power_loses_its_processes_and_says_nothing(bed, tmp_path):
    with bed.start("node1", ["ssh", "node2", "echo begun; sleep 1000"], stdout=subprocess.PIPE) as client:
        assert client.stdout.readline() == "begun\n"
        wait_until(lambda: "sleep 1000" in bed.processes("node2").values(), "the command on node2 sleeps")
        running = bed.processes("node2")
        bed.power_off("node2")
        assert not bed.is_on("node2") and not any(Path(f"/proc/{pid}").exists() for pid in running)
        time.sleep(0.5)
        assert client.poll() is None  # a closed connection would have ended it
        bed.power_on("node2")
        assert bed.processes("node2") == {}
        bed.recover()
    assert bed.processes("node1") == {}


def test_nothing_is_left_of_a_session_that_is_killed(bed, tmp_path):
    """Another bed runs at the same time: they do not disturb each other."""
    command = [sys.executable, "-c", SESSION, tmp_path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=environment()) as session:
        spaces = [os.readlink(f"/proc/{pid}/ns/net") for pid in session.stdout.readline().split()]
        assert all(pids_in(space) for space in spaces)
        session.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(pids_in(space) for space in spaces), "the session's hosts are gone")
    assert bed.exec("node1", ["ssh", "node3", "hostname"]).stdout == "node3\n"


def start_sinks(bed) -> None:
    """On each host, a server that answers whole messages of SEND."""
    for host in bed.hosts:
        sink = bed.start(host, [sys.executable, "-c", SINK], stdout=subprocess.PIPE)
        assert sink.stdout.readline() == "ready\n"


def send(bed, *routes: str, size: int, count: int) -> list[list[tuple[float, float]]]:
    """Send messages over all routes ("node1 node2") at once; for each, when a message began and when it had arrived."""
    senders = []
    for source, target in (route.split() for route in routes):
        command = [sys.executable, "-c", SEND, bed.address(target), size, count]
        senders.append(bed.start(source, command, stdout=subprocess.PIPE))
    outputs = [sender.communicate(timeout=120)[0].splitlines() for sender in senders]
    return [[tuple(map(float, line.split())) for line in lines] for lines in outputs]


def mbit_per_s(bed, *routes: str, size: int = 3_000_000) -> float:
    """Over all routes together, with their first message; the best of three, since other programs take time too."""
    speeds = []
    for _ in range(3):
        sent = [messages[0] for messages in send(bed, *routes, size=size, count=1)]
        took_s = max(end for _, end in sent) - min(begin for begin, _ in sent)
        speeds.append(len(routes) * size * 8 / 1e6 / took_s)
    return max(speeds)


def round_trip_ms(bed, route: str) -> float:
    """The best of many, since other programs take time too."""
    return 1000 * min(end - begin for begin, end in send(bed, route, size=1, count=50)[0])


def test_rates_are_read_as_tc_reads_them():
    assert [bits_per_s(rate) for rate in ("64kbit", "100mbit", "2.5gbit")] == [64e3, 100e6, 2.5e9]


def test_a_shaped_host_sends_and_receives_at_its_rate_and_no_other_does(bed):
    start_sinks(bed)
    bed.shape("node1", "100mbit")
    for routes in (["node1 node2"], ["node2 node1"], ["node2 node1", "node3 node1"], ["node1 node2", "node1 node3"]):
        assert 80 < mbit_per_s(bed, *routes) < 102, routes  # TCP's headers take 5 %
    assert mbit_per_s(bed, "node2 node3") > 200
    bed.shape("node1", "")
    assert min(mbit_per_s(bed, "node1 node2"), mbit_per_s(bed, "node2 node1")) > 200


@needs_tun
def test_what_a_host_sends_arrives_later_by_its_delay(bed):
    start_sinks(bed)
    bed.shape("node1", "", delay_ms=10)
    assert 10 < round_trip_ms(bed, "node1 node2") < 15
    assert 10 < round_trip_ms(bed, "node2 node1") < 15
    bed.shape("node2", "", delay_ms=20)
    bed.cut("node1")
    bed.plug_in("node1")
    assert 30 < round_trip_ms(bed, "node1 node2") < 40
    bed.shape("node1", "", delay_ms=1)
    assert 21 < round_trip_ms(bed, "node2 node1") < 30
    bed.shape("node2", "")
    assert 1 < round_trip_ms(bed, "node1 node2") < 5


@needs_tun
@pytest.mark.parametrize("end", ["recover", "reboot"])
def test_a_rate_and_a_delay_together_last_until_the_host_recovers_or_loses_its_power(bed, end):
    start_sinks(bed)
    bed.shape("node1", "100mbit", delay_ms=5)
    bed.shape("node2", "200mbit", delay_ms=5)
    assert 70 < mbit_per_s(bed, "node1 node2") < 102
    assert 70 < mbit_per_s(bed, "node2 node1") < 102
    assert 10 < round_trip_ms(bed, "node1 node2") < 15
    if end == "reboot":
        bed.reboot("node1")
        bed.reboot("node2")
    bed.recover()
    assert not any(name.startswith("delay") for name in bed.keepers)
    start_sinks(bed)
    assert mbit_per_s(bed, "node1 node2") > 200 and round_trip_ms(bed, "node1 node2") < 5


@needs_horovod
@pytest.mark.parametrize("spelling", ["hosts.txt", "host:slots"])
def test_horovodrun_sums_over_three_hosts(bed, tmp_path, spelling):
    """hosts.txt with plain ssh; host:slots with our ssh configuration, in which node3 has another name."""
    if spelling == "hosts.txt":
        hosts, path = str(bed.hosts_txt), environment()["PATH"]
    else:
        hosts_txt = tmp_path / "hosts.txt"
        hosts_txt.write_text(f"node1\nnode2:1\nthird address={bed.address('node3')}\n")
        answers_of(bed, hosts_txt, "true", cwd=tmp_path)  # leaves the folder ssh behind
        hosts, path = "node1:1,node2:1,third:1", f"{tmp_path / 'ssh'}:{environment()['PATH']}"
    job = bed.exec("node1", [*launch_on(hosts), sys.executable, "-c", SUM], cwd=tmp_path, env={"PATH": path})
    assert job.returncode == 0, job.stderr
    said = sorted(line.split(":", 1)[1] for line in job.stdout.splitlines() if "has" in line)
    assert said == [f"rank {rank} on node{rank + 1} has [6.0]" for rank in range(3)], job.stdout


def over_three_hosts(bed, launcher: str) -> list:
    """The command before that of the ranks."""
    if launcher == "horovodrun":
        return launch_on(bed.hosts_txt)
    if not (shutil.which("mpiexec") and is_built_with_mpi()):
        pytest.skip("needs openmpi when Horovod is built")
    if launcher == "horovodrun --mpi":
        return [horovodrun(), "--mpi", "-np", "3", "-H", bed.hosts_txt]
    names = ",".join(f"{host}:1" for host in bed.hosts)
    return ["mpiexec", "--allow-run-as-root", "-n", "3", "--host", names]


def is_built_with_mpi() -> bool:
    from horovod.common.util import mpi_built

    return bool(mpi_built())


@needs_horovod
@pytest.mark.parametrize("launcher", ["horovodrun", "horovodrun --mpi", "mpiexec"])
def test_training_over_three_hosts_reaches_its_last_step(bed, word_shards, tmp_path, launcher):
    options = {"shards": word_shards, "steps": 6, "global-batch": 24, "workers": 0, "precision": "fp32", "run": "it"}
    train = [sys.executable, "-m", "horovod_ocr", "train"]
    train += [f"--{name}={value}" for name, value in options.items()]
    train += ["--set", "model_options.width=0.25", "--set", "model_options.hidden=24"]
    job = bed.exec("node1", [*over_three_hosts(bed, launcher), *train], cwd=tmp_path)
    assert job.returncode == 0, job.stdout[-3000:] + job.stderr[-3000:]
    assert load_checkpoint(tmp_path / "runs/it", LAST)["step"] == 6
    assert "3 ranks" in job.stdout + job.stderr
