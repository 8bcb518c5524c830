"""Asks all hosts at once for their facts (`probe`), and judges the answers (`judge`).

The quick examination, before each start, covers ssh, versions, folders and clocks. The full one also loads torch and
Horovod on each host, and lets all ranks meet as they would for training, on their GPUs if each has one: a 64 MB
allreduce measures the bandwidth between the hosts.
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
from horovod_ocr.console import size_text
from horovod_ocr.errors import ClusterError, OcrError
from horovod_ocr.launch.hosts.contact import Contact, gradient_bytes, meet
from horovod_ocr.launch.hosts.horovodrun import INTERFACES
from horovod_ocr.launch.hosts.hosts_file import Host, ranks_of
from horovod_ocr.launch.hosts.judge import judge
from horovod_ocr.launch.hosts.probe import (
    Request,
    addresses_by_interface,
    last_line,
    nearest_folder,
    probe_command,
)
from horovod_ocr.launch.hosts.report import UNKNOWN, Cell, DoctorReport, Probe, Row, fails, warns
from horovod_ocr.launch.hosts.ssh import FAILED, TIMED_OUT, Answer, Ssh, is_local

SLOW_STEP_S = 1.0
MOST_AT_ONCE = 64
# message of ssh -> how to repair it; {login}: arguments with which ssh reaches the host; {key}: its name in known_hosts
SSH_REPAIRS = {
    "permission denied": "it asks for a password; let this machine in with: ssh-copy-id {login}",
    "host key verification failed": "its key is not known here; log in once by hand: ssh {login}",
    "remote host identification has changed": "its key has changed; if it was set up anew: ssh-keygen -R {key}",
    "could not resolve hostname": "no machine has this name; correct -H or hosts.txt, or write its address= there",
    "connection refused": "it runs no ssh server at this port; start sshd there, or write port= in hosts.txt",
    "timed out": "it does not answer; is it on, and its cable in?",
    "no route to host": "it does not answer; is it on, and its cable in?",
}


def examine(
    hosts: Sequence[Host],
    config: TrainConfig,
    quick: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
    launcher: Sequence[str] = (),
) -> DoctorReport:
    """The report on hosts that are to train with this config. Every host gets its cells, whoever else does not answer.

    config: names the folders to look for, and the model whose gradients are measured. tell: called with a sentence
    before each step that takes long. launcher: options of horovodrun; if they name network interfaces, these need not
    have a common name.
    """
    interfaces_given = INTERFACES in launcher
    with tempfile.TemporaryDirectory(prefix="horovod-ocr-") as folder:
        ssh = Ssh(tuple(hosts), Path(folder))
        tell(f"asking {len(hosts)} host{'s' * (len(hosts) > 1)}")
        with marked(config.runs) as mark:
            batch = {
                "height": config.network.height,
                "pixels": config.network.pixels,
                "lanes": config.plan.lanes,
                "global_batch": config.plan.global_batch,
                "world_size": sum(host.slots for host in hosts),
            }
            request = Request(
                config.data.shards, config.runs, config.data.cache_dir, mark, loads=not quick, batch=batch
            )
            probes = probe_hosts(ssh, hosts, request)
        report = judge(probes, addresses_by_interface(), interfaces_given, config.data.workers, config.ranks.device)
        fit = [host for host in hosts if host.name in report.fit_hosts]
        ranks = ranks_of(fit)
        if quick or ranks < 2:
            return report
        tell(f"first contact of {ranks} ranks on {len(fit)} host{'s' * (len(fit) > 1)}")
        try:
            contact = meet(ssh, fit, config.ranks.device, launcher=launcher)
        except ClusterError as error:
            return report.with_rows(failed_contact(report.hosts, fit, str(error)))
        return report.with_rows(*judge_contact(report.hosts, fit, contact, wanted_bytes(config)))


def probe_hosts(ssh: Ssh, hosts: Sequence[Host], request: Request) -> list[Probe]:
    """The answers of the hosts, in their order. All are asked at once."""
    with ThreadPoolExecutor(min(len(hosts), MOST_AT_ONCE)) as threads:
        try:
            return list(threads.map(lambda host: probe_host(ssh, host, request), hosts))
        except BaseException:
            ssh.end()  # after an interrupt too, since the pool waits for its threads
            raise


def probe_host(ssh: Ssh, host: Host, request: Request, clock: Callable[[], float] = time.time) -> Probe:
    """The answers of a host. clock: of this machine, in seconds since 1970."""
    local = is_local(host)
    asked = Probe(host.name, host.slots, is_this_machine=local)
    started_s = clock()
    # 30 s for the connection and the start of Python, on top of the time that the probe itself may take
    answer = ssh.run(host, probe_command(), request.to_json(), timeout_s=request.answer_within_s + 30)
    ended_s = clock()
    try:
        facts = json.loads(last_line(answer.out))
        its_clock_s, took_s = facts.pop("clock"), facts.pop("took_s")
    except (ValueError, KeyError, TypeError, AttributeError):
        return replace(asked, error=why_no_answer(host, answer))
    # the host read its clock after it had worked for took_s, and before its answer arrived here
    off_s = min(0.0, its_clock_s - (started_s + took_s)) + max(0.0, its_clock_s - ended_s)
    return replace(asked, facts=facts, clock_off_s=0.0 if local else off_s)


def why_no_answer(host: Host, answer: Answer) -> str:
    """The last line of ssh or of the host's shell, and how to repair that."""
    said = answer.err.lower()
    address = host.address or host.name  # as a person types it, whose own ssh does not read hosts.txt
    login, key = (f"-p {host.port} {address}", f"'[{address}]:{host.port}'") if host.port else (address, address)
    if answer.code == TIMED_OUT:
        return f"{answer.err}; is the machine overloaded, or its storage gone?"
    if answer.code == FAILED:
        repair = next((repair for words, repair in SSH_REPAIRS.items() if words in said), "try it by hand: ssh {login}")
        return f"{last_line(answer.err).removeprefix('ssh: ') or 'ssh ended'}; {repair.format(login=login, key=key)}"
    if answer.code in (126, 127):
        return f"there is no {probe_command()[0]} on it; make the same environment at the same path: make setup"
    if "no module named" in said or "module specification" in said:
        return f"{last_line(answer.err)}; put the project at the same path there, and run: make setup"
    if "cd:" in said or "can't cd" in said:
        return f"there is no folder {Path.cwd()} on it; put the project and its data at the same path there"
    return f"{last_line(answer.err) or 'no answer'} (exit code {answer.code})"


@contextmanager
def marked(runs: str) -> Iterator[str | None]:
    """A file beside the runs during the context: a host that sees it has the same folder as this machine.

    Yields its name, or None if it cannot be written.
    """
    path = nearest_folder(runs) / f".horovod-ocr-{uuid.uuid4().hex}"
    try:
        path.touch()
    except OSError:
        yield None
        return
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)


def wanted_bytes(config: TrainConfig) -> int | None:
    """Bytes of the gradients of a step; None if this machine has no shards, which decide the model's size."""
    try:
        return gradient_bytes(config)
    except OcrError:
        return None


def judge_contact(
    names: Sequence[str], met: Sequence[Host], contact: Contact, gradients_bytes: int | None
) -> tuple[Row, ...]:
    """The rows of a first contact. names: of all hosts. met: those that took part. gradients_bytes: of a step."""
    first = Cell(f"{ranks_of(met)} ranks, {contact.device}")
    if contact.why_cpu:
        first = warns(first.text, f"all ranks train on the CPU: {contact.why_cpu}")
    rows = [contact_row("first contact", first, names, met)]
    if len(met) == 1:
        return tuple(rows)
    rows.append(contact_row("bandwidth", Cell(f"{contact.bytes_per_s / 1e6:,.0f} MB/s"), names, met))
    if gradients_bytes is not None:
        rows.append(contact_row("gradients", judge_gradients(gradients_bytes, contact.bytes_per_s), names, met))
    return tuple(rows)


def failed_contact(names: Sequence[str], met: Sequence[Host], why: str) -> Row:
    remark = f"an allreduce over these ranks failed: {why}; are all ports open between them?"
    return contact_row("first contact", fails("none", remark), names, met)


def contact_row(fact: str, cell: Cell, names: Sequence[str], met: Sequence[Host]) -> Row:
    """The same cell for all hosts that took part."""
    took_part = {host.name for host in met}
    return Row(fact, tuple(cell if name in took_part else UNKNOWN for name in names))


def judge_gradients(gradients_bytes: int, bytes_per_s: float) -> Cell:
    seconds = gradients_bytes / bytes_per_s
    text = f"{size_text(gradients_bytes)} in {seconds:.2f} s"
    if seconds > SLOW_STEP_S:
        remark = f"the gradients of a step take {seconds:.1f} s between these hosts; --compression fp16 halves that"
        return warns(text, remark)
    return Cell(text)
