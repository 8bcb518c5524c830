"""What a launch begins from: the run that the command means, and how horovodrun is called for it."""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from horovod_ocr.config.sources import default_recipe, load_config
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import ClusterError, ConfigError, ShardError
from horovod_ocr.launch.hosts.doctor import examine
from horovod_ocr.launch.hosts.horovodrun import spell_horovodrun, variables_to_send
from horovod_ocr.launch.hosts.hosts_file import Host, ranks_of
from horovod_ocr.launch.hosts.report import CellState
from horovod_ocr.launch.hosts.ssh import Ssh
from horovod_ocr.launch.supervise.job import Job
from horovod_ocr.launch.supervise.kill_leftovers import clear_hosts
from horovod_ocr.launch.supervise.record import LaunchLog, find_run, last_step, lock_run, take_up
from horovod_ocr.launch.supervise.supervisor import LaunchSpec, Supervisor
from horovod_ocr.run.folder import LAST, newest_run, pointed_to
from horovod_ocr.run.state import JOB_VARIABLE, read_state


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
    run = choose_run(options)
    state = read_state(run)
    if state and state.state == "finished" and not options.resumes:
        print(f"launch: {run} is finished, with {state.step} steps; to train anew, give another name: --run NAME")
        return 0
    config = settings_of(run, options)
    run.mkdir(parents=True, exist_ok=True)
    with lock_run(run), tempfile.TemporaryDirectory(prefix="horovod-ocr-") as folder:
        record = take_up(run, options.words, config.ranks.stall_timeout_s)
        ssh, log = Ssh(hosts, Path(folder)), LaunchLog(run)
        if variables := variables_to_send():
            log.line(f"{' '.join(variables)} goes to the ranks on all hosts")
        train = [*options.words, "--run", run.name]

        def start(job: str, chosen: tuple[Host, ...], resumes: bool) -> Job:
            command = spell_command(chosen, launcher, [*train, *(["--resume"] if resumes else [])])
            return Job(command, ssh.environment() | {JOB_VARIABLE: job}, chosen)

        def clear(asked: tuple[Host, ...], spared: str) -> dict[str, str]:
            return clear_hosts(ssh, asked, record.run_id, spared)

        def check(new: tuple[Host, ...], used: tuple[Host, ...]) -> dict[str, str]:
            return check_hosts(new, used, config, "--network-interfaces" in launcher, log.line)

        return Supervisor(LaunchSpec(run, hosts, np, min_np, max_restarts), record, start, clear, check).supervise()


def check_ranks(hosts: tuple[Host, ...], np: int, min_np: int) -> None:
    """ClusterError, as horovodrun has it, for more ranks than slots; ConfigError for a min_np that cannot be."""
    if np > ranks_of(hosts):
        raise ClusterError(
            f"-np {np}, but the hosts have {ranks_of(hosts)} slots in all; raise slots= in hosts.txt, or lower -np"
        )
    if not 1 <= min_np <= np:
        raise ConfigError(f"--min-np is 1 to {np} (-np), not {min_np}")


def choose_run(options: TrainOptions) -> Path:
    """The folder of the run that is meant, there already or not. OcrError for wrong settings, CheckpointError for a
    run to resume that has no checkpoint."""
    config = load_config(options.recipe, options.given)
    runs = Path(config.runs)
    if options.resumes:
        run = runs / config.run if config.run else newest_run(runs)
        pointed_to(run, LAST)  # says so where it has none
        return run
    if config.run:
        return runs / config.run
    if run := find_run(runs, options.words):
        return run
    config = load_config(options.recipe or default_recipe(options.given.get("shards", "")), options.given)
    return runs / time.strftime(f"{Path(config.recipe).stem or 'run'}-%Y%m%d-%H%M%S")


def settings_of(run: Path, options: TrainOptions) -> TrainConfig:
    """What `train` makes of the options: for a run with a checkpoint its own settings, under what is given now."""
    if last_step(run) is not None:
        from horovod_ocr.training.setup import choose_config

        return choose_config(options.recipe, options.given | {"run": run.name, "resume": True})
    try:
        recipe = options.recipe or default_recipe(options.given.get("shards", ""))
    except ShardError:
        recipe = ""  # the hosts are asked for the shards; this machine may have none
    return load_config(recipe, options.given)


def spell_command(hosts: tuple[Host, ...], launcher: list[str], train: list[str]) -> list[str]:
    """horovodrun with this interpreter and this program."""
    return spell_horovodrun(hosts, [sys.executable, "-m", "horovod_ocr", "train", *train], launcher)


def check_hosts(
    new: tuple[Host, ...],
    used: tuple[Host, ...],
    config: TrainConfig,
    interfaces_given: bool,
    say: Callable[[str], None],
) -> dict[str, str]:
    """The doctor's quick part on all hosts in use; for the new ones what keeps them from training, "" for nothing.

    interfaces_given: horovodrun is told which to use. say: told what is not as it should be."""
    report = examine(used, config, quick=True, interfaces_given=interfaces_given)
    for host in new:
        for remark in report.remarks(host.name, CellState.WARNS):
            say(f"{host.name}: {remark}")
    failing = {host.name: "; ".join(report.remarks(host.name, CellState.FAILS)) for host in new}
    return {name: "" if name in report.fit_hosts else f"cannot train: {remarks}" for name, remarks in failing.items()}
