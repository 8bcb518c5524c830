"""The begin of a launch: which run its command means, and with which settings."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horovod_ocr.config.sources import load_config
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import ClusterError, ConfigError
from horovod_ocr.launch.hosts.horovodrun import variables_to_send
from horovod_ocr.launch.hosts.hosts_file import Host, ranks_of
from horovod_ocr.launch.hosts.ssh import Ssh
from horovod_ocr.launch.supervise.cluster import SshCluster
from horovod_ocr.launch.supervise.record import LaunchLog, find_run, last_step, lock_run, open_record
from horovod_ocr.launch.supervise.supervisor import LaunchSpec, Supervisor
from horovod_ocr.run.folder import LAST, newest_run, pointed_to, run_named
from horovod_ocr.run.state import RunStatus, read_state
from horovod_ocr.tasks.recipe import new_config


@dataclass(frozen=True)
class TrainOptions:
    """The options of `train`."""

    words: list[str]
    """As typed, without --resume."""
    given: dict[str, Any]
    """The settings that they give, by name."""
    recipe: str | None = None
    """The value of --recipe."""
    resumes: bool = False
    """Was --resume given?"""


def launch(
    hosts: tuple[Host, ...],
    np: int,
    min_np: int,
    max_restarts: int,
    standby: bool,
    launcher: list[str],
    options: TrainOptions,
) -> int:
    """Begin a run or go on with it, and supervise it until it ends; the exit code.

    The numbers and the standby are those of `LaunchSpec`. launcher: options of horovodrun.
    """
    check_ranks(hosts, np, min_np)
    run = choose_run(options)
    state = read_state(run)
    if state and state.state == RunStatus.FINISHED and not options.resumes:
        print(f"launch: {run} is finished, with {state.step} steps; to train anew, give another name: --run NAME")
        return 0
    config = settings_of(run, options)
    run.mkdir(parents=True, exist_ok=True)
    with lock_run(run), tempfile.TemporaryDirectory(prefix="horovod-ocr-") as folder:
        record = open_record(run, options.words, config.ranks.stall_timeout_s)
        log = LaunchLog(run)
        if variables := variables_to_send():
            log.line(f"{' '.join(variables)} goes to the ranks on all hosts")
        train = [*options.words, "--run", run.name]
        cluster = SshCluster(Ssh(hosts, Path(folder)), run, record.run_id, config, launcher, train, log.line)
        steps_alone = config.exchange.steps_alone
        spec = LaunchSpec(run, hosts, np, min_np, max_restarts, standby, steps_alone)
        return Supervisor(spec, record, cluster).supervise()


def check_ranks(hosts: tuple[Host, ...], np: int, min_np: int) -> None:
    """Raises ClusterError for more ranks than slots, as horovodrun would, and ConfigError for an impossible min_np."""
    if np > ranks_of(hosts):
        raise ClusterError(
            f"-np {np}, but the hosts have {ranks_of(hosts)} slots in all; raise slots= in hosts.txt, or lower -np"
        )
    if not 1 <= min_np <= np:
        raise ConfigError(f"--min-np is 1 to {np} (-np), not {min_np}")


def choose_run(options: TrainOptions) -> Path:
    """The folder of the run that the options mean; it may not exist yet.

    Raises OcrError for wrong settings, and CheckpointError if a run to resume has no checkpoint.
    """
    config = load_config(options.recipe, options.given)
    runs = Path(config.runs)
    if options.resumes:
        run = run_named(runs, config.run) if config.run else newest_run(runs)
        pointed_to(run, LAST)  # raises if it has no checkpoint
        return run
    if config.run:
        return runs / config.run
    if found := find_run(runs, options.words):
        return found
    config = new_config(options.recipe, options.given)
    return runs / time.strftime(f"{Path(config.recipe or '').stem or 'run'}-%Y%m%d-%H%M%S")


def settings_of(run: Path, options: TrainOptions) -> TrainConfig:
    """The settings that `train` will use. A run with a checkpoint has its own, which the given ones override."""
    if last_step(run) is not None:
        from horovod_ocr.training.begin import choose_config

        return choose_config(options.recipe, options.given | {"run": run.name, "resume": True})
    # this machine may have no shards: the hosts are asked for them
    return new_config(options.recipe, options.given, needs_shards=False)
