"""Asks all hosts at once what they are, and judges the answers (`judge`).

quick, before each start: ssh, versions, folders, clock. Full: torch and Horovod are loaded, and all ranks meet as they
would to train: on their GPUs, if they have one each. A 64 MB allreduce measures what lies between the hosts.
"""

import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import OcrError
from horovod_ocr.launch.hosts.contact import Contact, gradient_bytes, meet
from horovod_ocr.launch.hosts.hosts_file import Host, ranks_of
from horovod_ocr.launch.hosts.judge import gigabytes, judge
from horovod_ocr.launch.hosts.probe import (
    Request,
    addresses_by_interface,
    last_line,
    nearest_folder,
    probe_command,
)
from horovod_ocr.launch.hosts.report import Cell, DoctorReport, Probe, Row
from horovod_ocr.launch.hosts.ssh import FAILED, TIMED_OUT, Answer, Ssh, is_local

SLOW_STEP_S = 1.0
MOST_AT_ONCE = 64
# what ssh says, and how to mend it; {login}: what ssh takes to get there; {key}: the host's name in known_hosts
SSH_SAYS = {
    "permission denied": "it asks for a password; let this machine in with: ssh-copy-id {login}",
    "host key verification failed": "its key is not known here; log in once by hand: ssh {login}",
    "remote host identification has changed": "its key has changed; if it was set up anew: ssh-keygen -R {key}",
    "could not resolve hostname": "no machine has this name; correct hosts.txt, or write address= beside it there",
    "connection refused": "it runs no ssh server at this port; start sshd there, or write port= in hosts.txt",
    "timed out": "it does not answer; is it on, and its cable in?",
    "no route to host": "it does not answer; is it on, and its cable in?",
}


def examine(
    hosts: Sequence[Host],
    config: TrainConfig,
    quick: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
    interfaces_given: bool = False,
) -> DoctorReport:
    """The report on hosts that shall train by this config. Hosts that do not answer never keep it from the others.

    config: its shards, runs and cache_dir are looked for; full measures its model's gradients. tell: called with a
    sentence before what takes long. interfaces_given: the network interfaces to use are, and need no common name.
    """
    with tempfile.TemporaryDirectory(prefix="horovod-ocr-") as folder:
        ssh = Ssh(tuple(hosts), Path(folder))
        tell(f"asking {len(hosts)} host{'s' * (len(hosts) > 1)}")
        with marked(config.runs) as mark:
            batch = {
                "height": config.height,
                "lanes": config.plan.lanes,
                "global_batch": config.plan.global_batch,
                "world_size": sum(host.slots for host in hosts),
            }
            request = Request(config.data.shards, config.runs, config.data.cache_dir, mark, loads=not quick, batch=batch)
            probes = probe_hosts(ssh, hosts, request)
        report = judge(probes, addresses_by_interface(), interfaces_given, config.data.workers, config.ranks.device)
        fit = [host for host in hosts if host.name in report.fit_hosts]
        ranks = ranks_of(fit)
        if quick or ranks < 2:
            return report
        tell(f"first contact of {ranks} ranks on {len(fit)} host{'s' * (len(fit) > 1)}")
        contact = meet(ssh, fit, config.ranks.device)
        return report.with_rows(*judge_contact(report.hosts, fit, contact, wanted_bytes(config)))


def probe_hosts(ssh: Ssh, hosts: Sequence[Host], request: Request) -> list[Probe]:
    """What each host says, in their order; asked at once."""
    with ThreadPoolExecutor(min(len(hosts), MOST_AT_ONCE)) as threads:
        try:
            return list(threads.map(lambda host: probe_host(ssh, host, request), hosts))
        except BaseException:
            ssh.end()  # interrupted: the pool waits for its threads
            raise


def probe_host(ssh: Ssh, host: Host, request: Request) -> Probe:
    local = is_local(host)
    asked = Probe(host.name, host.slots, started_by="" if local else "ssh")
    started = time.time()
    # connecting and starting Python come on top of what the probe itself allows
    answer = ssh.run(host, probe_command(), request.to_json(), timeout_s=request.answer_within_s + 30)
    ended = time.time()
    try:
        facts = json.loads(last_line(answer.out))
        clock, took = facts.pop("clock"), facts.pop("took_s")
    except (ValueError, KeyError, TypeError, AttributeError):
        return replace(asked, error=why_no_answer(host, answer))
    # its clock was read after it had worked for took_s, and before the answer was here
    off = min(0.0, clock - (started + took)) + max(0.0, clock - ended)
    return replace(asked, facts=facts, clock_off_s=0.0 if local else off)


def why_no_answer(host: Host, answer: Answer) -> str:
    """What ssh or the host's shell said, as a sentence that says how to mend it."""
    said = answer.err.lower()
    address = host.address or host.name  # a person's own ssh does not read hosts.txt
    login, key = (f"-p {host.port} {address}", f"'[{address}]:{host.port}'") if host.port else (address, address)
    if answer.code == TIMED_OUT:
        return f"{answer.err}; is the machine overloaded, or its storage gone?"
    if answer.code == FAILED:
        mend = next((mend for words, mend in SSH_SAYS.items() if words in said), "try it by hand: ssh {login}")
        return f"{last_line(answer.err).removeprefix('ssh: ') or 'ssh ended'}; {mend.format(login=login, key=key)}"
    if answer.code in (126, 127):
        return f"there is no {probe_command()[0]} on it; make the same environment at the same path: make setup"
    if "no module named" in said or "module specification" in said:
        return f"{last_line(answer.err)}; put the project at the same path there, and run: make setup"
    if "cd:" in said or "can't cd" in said:
        return f"there is no folder {Path.cwd()} on it; put the project and its data at the same path there"
    return f"{last_line(answer.err) or 'no answer'} (exit code {answer.code})"


@contextmanager
def marked(runs: str) -> Iterator[str]:
    """The name of a file that lies beside the runs meanwhile, by which other hosts see that they have the same folder;
    "" where none can be written."""
    path = nearest_folder(runs) / f".horovod-ocr-{uuid.uuid4().hex}"
    try:
        path.touch()
    except OSError:
        yield ""
        return
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)


def wanted_bytes(config: TrainConfig) -> int:
    """Of the gradients of a step; 0 where this machine has no shards to tell the model's size by."""
    try:
        return gradient_bytes(config)
    except OcrError:
        return 0


def judge_contact(names: Sequence[str], met: Sequence[Host], contact: Contact | str, gradients: int) -> tuple[Row, ...]:
    """names: of all hosts; met: those that took part; contact: what was measured, or why there is none; gradients:
    bytes of a step, 0: not known."""
    taken = {host.name for host in met}

    def row(fact: str, cell: Cell) -> Row:
        return Row(fact, tuple(cell if name in taken else Cell("", "unknown") for name in names))

    if isinstance(contact, str):
        remark = f"an allreduce over these ranks failed: {contact}; are all ports open between them?"
        return (row("first contact", Cell("none", "fails", remark)),)
    cell = Cell(f"{ranks_of(met)} ranks, {contact.device}")
    if contact.why_cpu:
        cell = replace(cell, state="warns", remark=f"all ranks train on the CPU: {contact.why_cpu}")
    first = row("first contact", cell)
    if len(met) == 1:
        return (first,)
    speed = row("bandwidth", Cell(f"{contact.bytes_per_s / 1e6:,.0f} MB/s"))
    if not gradients:
        return first, speed
    seconds = gradients / contact.bytes_per_s
    needs = Cell(f"{megabytes(gradients)} in {seconds:.2f} s")
    if seconds > SLOW_STEP_S:
        remark = f"the gradients of a step take {seconds:.1f} s between these hosts; --compression fp16 halves that"
        needs = replace(needs, state="warns", remark=remark)
    return first, speed, row("gradients", needs)


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else gigabytes(size)
