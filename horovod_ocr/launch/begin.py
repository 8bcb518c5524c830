"""What a launch begins from: the run that the command means, and how horovodrun is called for it."""

import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from horovod_ocr.config import TrainConfig, default_recipe, load_config
from horovod_ocr.errors import ClusterError, ConfigError
from horovod_ocr.launch.doctor import examine
from horovod_ocr.launch.hosts import Host, spell_hosts
from horovod_ocr.launch.job import Job
from horovod_ocr.launch.record import find_run, lock_run, take_up
from horovod_ocr.launch.roster import ranks_of
from horovod_ocr.launch.ssh import Ssh
from horovod_ocr.launch.supervise import Supervisor, Wish
from horovod_ocr.launch.sweep import clear_hosts
from horovod_ocr.training.folder import newest_run
from horovod_ocr.training.state import JOB_VARIABLE, read_state

START_TIMEOUT_S = 120


@dataclass(frozen=True)
class TrainOptions:
    """Options of `train`. words: as typed, without --resume. given: the settings that they give. resumes: --resume."""

    words: list[str]
    given: dict
    recipe: str = ""
    resumes: bool = False


def launch(
    hosts: tuple[Host, ...], np: int, min_np: int, max_restarts: int, launcher: list[str], options: TrainOptions
) -> int:
    """Begin a run or take it up again, and supervise it to its end; the exit code. launcher: options of horovodrun."""
    check_ranks(hosts, np, min_np)
    run, config = choose_run(options)
    state = read_state(run)
    if state and state.state == "finished" and not options.resumes:
        print(f"launch: {run} is finished, with {state.step} steps; to train anew, give another name: --run NAME")
        return 0
    run.mkdir(parents=True, exist_ok=True)
    with lock_run(run), tempfile.TemporaryDirectory(prefix="horovod-ocr-") as folder:
        record = take_up(run, options.words, options.given.get("stall_timeout_s"))
        ssh = Ssh(hosts, Path(folder))
        train = [*options.words, "--run", run.name]

        def start(job: str, chosen: tuple[Host, ...], resumes: bool) -> Job:
            command = spell_command(chosen, launcher, [*train, *(["--resume"] if resumes else [])])
            return Job(command, ssh.environment() | {JOB_VARIABLE: job}, chosen)

        def clear(asked: tuple[Host, ...], spared: str) -> dict[str, str]:
            return clear_hosts(ssh, asked, record.run_id, spared)

        def check(new: tuple[Host, ...], used: tuple[Host, ...]) -> dict[str, str]:
            return check_hosts(new, used, config)

        return Supervisor(Wish(run, hosts, np, min_np, max_restarts), record, start, clear, check).supervise()


def check_ranks(hosts: tuple[Host, ...], np: int, min_np: int) -> None:
    """ClusterError, as horovodrun has it, for more ranks than slots; ConfigError for a min_np that cannot be."""
    if np > ranks_of(hosts):
        raise ClusterError(
            f"-np {np}, but the hosts have {ranks_of(hosts)} slots in all; raise slots= in hosts.txt, or lower -np"
        )
    if not 1 <= min_np <= np:
        raise ConfigError(f"--min-np is 1 to {np} (-np), not {min_np}")


def choose_run(options: TrainOptions) -> tuple[Path, TrainConfig]:
    """The folder of the run that is meant, there already or not, and what it is given. OcrError for wrong settings."""
    config = load_config(options.recipe, options.given)
    runs = Path(config.runs)
    if config.run:
        return runs / config.run, config
    if options.resumes:
        return newest_run(runs), config
    if run := find_run(runs, options.words):
        return run, config
    config = load_config(options.recipe or default_recipe(options.given.get("shards", "")), options.given)
    return runs / time.strftime(f"{Path(config.recipe).stem or 'run'}-%Y%m%d-%H%M%S"), config


def spell_command(hosts: tuple[Host, ...], launcher: list[str], train: list[str]) -> list[str]:
    """horovodrun with this interpreter and this program. No cached checks: what was true an hour ago may be no more.
    More patience than its 30 s: over NFS, a first import of torch may take as long."""
    beside = Path(sys.executable).with_name("horovodrun")
    program = str(beside) if beside.exists() else shutil.which("horovodrun")
    if program is None:
        raise ClusterError("no horovodrun in this environment; build it with: make setup")
    where = ["-np", str(ranks_of(hosts)), "-H", spell_hosts(hosts)]
    us = [sys.executable, "-m", "horovod_ocr", "train"]
    patience = ["--disable-cache", "--start-timeout", str(START_TIMEOUT_S)]
    return [program, "--gloo", *patience, *where, *launcher, *us, *train]


def check_hosts(new: tuple[Host, ...], used: tuple[Host, ...], config: TrainConfig) -> dict[str, str]:
    """The doctor's quick part on all hosts in use; for the new ones what keeps them from training, "" for nothing."""
    report = examine(used, config, quick=True)
    for host in new:
        for remark in report.remarks(host.name, "warns"):
            print(f"launch: {host.name}: {remark}", flush=True)
    failing = {host.name: "; ".join(report.remarks(host.name, "fails")) for host in new}
    return {name: "" if name in report.fit_hosts else f"cannot train: {remarks}" for name, remarks in failing.items()}
