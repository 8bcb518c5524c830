"""A training that meets a fault a minute, against the same training undisturbed: how many of its steps does it keep?
Takes 75 minutes; wants two free cores, and root to make the hosts.

    python benchmarks/faults.py [--minutes 30] [--seed 0]
    python benchmarks/faults.py --smoke      # the whole path in two minutes, with two faults

Three hosts train (those of tests/hosts), one rank each; a fourth serves their folder over ssh, and they mount it with
sshfs: a kernel in a container has no NFS client. The shards, and the run with its state, checkpoints and what `launch`
writes, are there alone, so that they are away when the cable of the fourth is.

In the first half of each minute one fault happens; all are drawn from the seed, each kind equally often:

    rank killed           SIGKILL
    horovodrun killed     SIGKILL
    rank stopped          SIGSTOP, and SIGCONT after 1 to 10 s, before or after stall_timeout_s
    host cut off          its cable is out for 1 to 5 s
    host without power    it is off for 1 to 5 s, then it boots and mounts the folder
    storage cut off       the cable of the fourth host is out for 1 to 5 s

`launch` runs on node1, which trains and is struck like the others; when its host is back, the same command is given
again, as a service manager would.

A careful person sets this for such hosts: --standby; stall_timeout_s 8; a checkpoint every 10 steps, 2.5 s;
--network-interfaces, which saves horovodrun a search; --cache-dir on the hosts' own disks; --max-restarts 1000; and, of
Linux 6.15 and newer, net.ipv4.tcp_rto_max_ms 1000: a connection goes on within 1 s of the repair. A step takes 0.25 s,
most of it asleep, so that the cores of one machine suffice for all hosts.

Both runs take the same number of steps, some more than fit into the time, and end without faults. goodput: the steps
that the disturbed run had kept at the end of the time (no later attempt took them again) / those of the undisturbed
one. Samples are lost or repeated if a whole epoch lacks them or has them twice. In float64 and with batch statistics
over all ranks, steps on fewer ranks differ by the order of sums alone: the largest difference of final weights is given
as a fraction of the largest weight, beside that of a second undisturbed run (0: the same bits). The last line is JSON;
the exit code is 1 if a bar does not hold.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests, which have the hosts

from sides.bars import Bar, end, parser_of, print_bars
from sides.faulty_hosts import MOUNT_OPTIONS, PATIENCE_S, Cluster, Fault, draw_faults, strike, what_hosts_miss
from sides.run_notes import Attempt, kept_steps, lost_and_repeated, read_notes, seconds_until_further, taken_again

from horovod_ocr.checkpoint.file import LAST, load_checkpoint
from horovod_ocr.synth.generate import SynthOptions, synthesize
from sharding.build import build_shards
from sharding.options import ShardOptions
from tests.hosts.bed import wait_until
from tests.ranks.launch import digests_of, largest_difference, steps_of_epoch

GLOBAL_BATCH = 12
STEP_S = 0.25
SETTINGS = {
    "height": 32,
    "model_options.width": 0.25,
    "model_options.hidden": 24,
    "precision": "fp64",
    "sync_batchnorm": "true",
    "workers": 0,
    "global_batch": GLOBAL_BATCH,
    "lanes": 6,
    "cache_dir": "/run/shards",
    "stall_timeout_s": 8,
    "save_every_steps": 10,
    "log_every_steps": 20,
}


class Sizes(NamedTuple):
    """How much is measured."""

    minutes: float
    """Of the quiet run, and of the struck one."""
    faults: int
    words: int = 600

    @property
    def steps(self) -> int:
        """Of each run: more than fit into the time."""
        return int(60 * self.minutes / STEP_S * 1.02) + 20


class Ended(NamedTuple):
    """A run that has ended."""

    attempts: list[Attempt]
    """What its ranks noted."""
    struck_s: list[float]
    """When each fault happened."""
    lines: list[tuple[float, str]]
    """What `launch` said, and when."""
    launches: int
    """How often the command was given."""
    weights: dict[str, torch.Tensor]
    """The last."""
    val: dict[str, float]
    """Its last scores of the val split."""

    @property
    def began_s(self) -> float:
        """When its first step began, in seconds since 1970."""
        return self.attempts[0][1].began_s


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if missing := what_hosts_miss():
        sys.exit(f"this machine cannot make the hosts: {missing}")
    sizes = Sizes(0.5, 2, words=150) if options.smoke else Sizes(options.minutes, max(1, round(options.minutes)))
    faults = draw_faults(sizes.faults, 60 * sizes.minutes / sizes.faults, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        shards = draw_words(Path(folder), sizes.words)
        quiet = train(Path(folder) / "quiet", shards, sizes, [])
        again = train(Path(folder) / "again", shards, sizes, [], step_s=0.0)
        struck = train(Path(folder) / "struck", shards, sizes, faults)
        figures = compare(quiet, again, struck, shards, sizes)
    costs = [cost_of(struck, number, sizes) for number in range(len(faults))]
    kinds = medians_of(faults, costs)
    print_kinds(kinds)
    bars = [
        Bar("goodput", figures["goodput"], 0.9, at_most=False),
        Bar("samples lost", figures["lost"], 0),
        Bar("samples repeated", figures["repeated"], 0),
        Bar("difference of weights", figures["weights"], 1e-6),
    ]
    print_bars(bars, options)
    return end(
        "faults", record(sizes, options.seed, faults, costs, kinds, figures), bars, ("torch", "horovod"), options
    )


def draw_words(folder: Path, words: int) -> Path:
    synthesize(SynthOptions(words=words, out=folder / "raw", seed=0))
    shards = folder / "shards"
    build_shards(ShardOptions.of(src=folder / "raw", out=shards, profile="urdu", fractions=(0.9, 0.1, 0.0)))
    return shards


def train(folder: Path, shards: Path, sizes: Sizes, faults: Sequence[Fault], step_s: float = STEP_S) -> Ended:
    """A whole run, with these faults."""
    settings = {**SETTINGS, "steps": sizes.steps, "validate_every_steps": sizes.steps}
    with Cluster(folder, shards, settings, step_s) as cluster:
        cluster.launch()
        wait_until(lambda: cluster.has_finished() or any(cluster.notes.iterdir()), "the first step", PATIENCE_S)
        began_s, struck_s = time.time(), []
        for fault in faults:
            while time.time() < began_s + fault.at_s and not cluster.has_finished():
                time.sleep(0.05)
            print(f"{fault.at_s:7.1f} s: {fault.kind}, {fault.host}, {fault.lasts_s:.1f} s", file=sys.stderr)
            struck_s.append(strike(cluster, fault))
        wait_until(cluster.has_finished, "the end of the run", PATIENCE_S + 2 * sizes.steps * STEP_S)
        metrics = map(json.loads, (cluster.run / "metrics.jsonl").read_text().splitlines())
        (val,) = (line for line in metrics if line["kind"] == "val")
        weights = load_checkpoint(cluster.run, LAST)["model"]
        return Ended(read_notes(cluster.notes), struck_s, cluster.lines, cluster.launches, weights, val)


def kept_in_time(ended: Ended, sizes: Sizes) -> int:
    """Steps that a run had taken at the end of the time, and has kept."""
    ends_s = ended.began_s + 60 * sizes.minutes
    return sum(noted.began_s <= ends_s for noted in kept_steps(ended.attempts).values())


def compare(quiet: Ended, again: Ended, struck: Ended, shards: Path, sizes: Sizes) -> dict[str, float]:
    """goodput, samples lost and repeated, and the difference of the final weights from those of `quiet`."""
    kept, epoch_steps = kept_steps(struck.attempts), steps_of_epoch(shards, GLOBAL_BATCH)
    lost, repeated = lost_and_repeated(kept, digests_of(shards), epoch_steps, sizes.steps)
    largest = max(float(values.abs().max()) for values in quiet.weights.values())
    return {
        "goodput": kept_in_time(struck, sizes) / kept_in_time(quiet, sizes),
        "steps_kept": kept_in_time(struck, sizes),
        "steps_undisturbed": kept_in_time(quiet, sizes),
        "epochs": sizes.steps // epoch_steps,
        "lost": lost,
        "repeated": repeated,
        "weights": largest_difference(quiet.weights, struck.weights) / largest,
        "weights_again": largest_difference(quiet.weights, again.weights) / largest,
        "attempts": len(struck.attempts),
        "launches": struck.launches,
    }


class Cost(NamedTuple):
    """What a fault cost."""

    noticed_s: float | None
    """From the fault until `launch` said that the attempt had ended; None: it went on."""
    started_s: float | None
    """From the fault until the next attempt was started."""
    further_s: float
    """See `seconds_until_further`."""
    lost_steps: int
    """Steps that were taken again."""


def cost_of(struck: Ended, number: int, sizes: Sizes) -> Cost:
    begins_s = struck.struck_s[number]
    ends_s = [*struck.struck_s, struck.began_s + 60 * sizes.minutes][number + 1]

    def until(words: str) -> float | None:
        return next(
            (at_s - begins_s for at_s, line in struck.lines if words in line and begins_s <= at_s < ends_s), None
        )

    return Cost(
        until("; again "),
        until("launch: attempt "),
        seconds_until_further(struck.attempts, begins_s),
        taken_again(struck.attempts, begins_s, ends_s),
    )


def medians_of(faults: Sequence[Fault], costs: Sequence[Cost]) -> dict[str, dict[str, float | None]]:
    """kind -> count, and the medians of what its faults cost; None if no such fault cost that."""
    kinds = {}
    for kind in sorted({fault.kind for fault in faults}):
        alike = [cost for fault, cost in zip(faults, costs, strict=True) if fault.kind == kind]
        kinds[kind] = {"count": len(alike)}
        for name in Cost._fields:
            values = [value for cost in alike if (value := getattr(cost, name)) is not None]
            kinds[kind][name] = round(statistics.median(values), 1) if values else None
    return kinds


def print_kinds(kinds: dict[str, dict[str, float | None]]) -> None:
    print(f"{'medians':<22}{'count':>7}{'noticed s':>11}{'started s':>11}{'further s':>11}{'steps lost':>12}")
    for kind, seen in kinds.items():
        cells = ["-" if value is None else f"{value:g}" for value in seen.values()]
        print(f"{kind:<22}{cells[0]:>7}{cells[1]:>11}{cells[2]:>11}{cells[3]:>11}{cells[4]:>12}")


def record(
    sizes: Sizes,
    seed: int,
    faults: Sequence[Fault],
    costs: Sequence[Cost],
    kinds: dict[str, dict[str, float | None]],
    figures: dict[str, float],
) -> dict:
    return {
        "minutes": sizes.minutes,
        "seed": seed,
        "storage": f"sshfs -o {MOUNT_OPTIONS}",
        **figures,
        "kinds": kinds,
        "faults": [
            {"at_s": round(fault.at_s, 1), "kind": fault.kind, "host": fault.host, "lasts_s": round(fault.lasts_s, 1)}
            | {name: round(value, 1) for name, value in cost._asdict().items() if value is not None}
            for fault, cost in zip(faults, costs, strict=True)
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
