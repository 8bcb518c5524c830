"""A training step on 2 ranks against torch's DistributedDataParallel, and what a checkpoint costs. Takes about a
quarter of an hour; wants two free cores.

    python benchmarks/step.py [--rounds 7] [--steps 30]
    python benchmarks/step.py --smoke      # the whole path in seconds, without most sides

The demo's model, its batch of 64 over 2 ranks, the same number of threads for each rank, on batches that are in memory.
Each run is a job of its own (sides/one_step_run.py) that takes a few steps to warm up, then the measured ones. The
sides take turns; a run's figure is the mean of its steps, a side's the median of its runs:

    alone          one process with one rank's share
    apart          two processes that exchange nothing
    ddp            DistributedDataParallel with gloo and its defaults, except that it does not exchange BatchNorm's
                   statistics
    ours           this project's defaults
    torch          this project's defaults with the engine torch, as under torchrun
    ours, <n> ms   with that HOROVOD_CYCLE_TIME; 1 ms is Horovod's own default, 25 ms ours
Each in the precision that training chooses on this machine, and in fp32. All sides that exchange must end with the
same weights, bit by bit. noise: the interquartile range of a side's runs, as a fraction of the median. Then a run of
training, with reading, that saves now and then (sides/step_saving_run.py). The last line is JSON; the exit code is 1 if
a bar does not hold.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sides.bars import Bar, end, parser_of, print_bars

from horovod_ocr.synth.generate import SynthOptions, synthesize
from sharding.build import build_shards
from sharding.options import ShardOptions

SIDES = Path(__file__).parent / "sides"
RANKS = 2
SAVE_EVERY_STEPS = 50
SIDES_OF_ALL = ("alone", "apart", "ddp", "ours", "torch")
SIDES_OF_CYCLES = ("ours, 1 ms", "ours, 5 ms")
PRECISIONS = ("auto", "fp32")
MOST_OTHERS = 0.05  # of the cores' time that other processes may take


class Side(NamedTuple):
    """What is measured in a run."""

    name: str
    """One of those above."""
    precision: str
    """auto or fp32."""

    def __str__(self) -> str:
        return f"{self.name}, {self.precision}"


class Figures(NamedTuple):
    """Of a side: medians of its runs."""

    step_ms: float
    cpu_ms: float
    """Of one rank, all its threads."""
    noise: float
    """See above."""
    others: float
    """Fraction of the cores' time that other processes took."""


class Sizes(NamedTuple):
    """How much is measured."""

    rounds: int = 7
    steps: int = 30
    warm_up: int = 6
    """Steps before the measured ones."""
    words: int = 3000
    saves: int = 15
    steps_a_row: int = 10
    """Between two saves, and without one: see step_saving_run.py."""
    settings: dict[str, int] = {}
    """Settings of training that replace the demo's."""


SMOKE = Sizes(rounds=1, steps=2, warm_up=1, words=300, saves=1, steps_a_row=2, settings={"global_batch": 8})
ALL_SIDES = (
    *(Side(name, "auto") for name in (*SIDES_OF_ALL, *SIDES_OF_CYCLES)),
    *(Side(name, "fp32") for name in SIDES_OF_ALL),
)
SMOKE_SIDES = (Side("ddp", "fp32"), Side("ours", "fp32"), Side("torch", "fp32"))


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=Sizes().rounds)
    parser.add_argument("--steps", type=int, default=Sizes().steps)
    options = parser.parse_args()
    sizes = SMOKE if options.smoke else Sizes(options.rounds, options.steps)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), sizes)
        bench.draw_words()
        runs, rows = bench.smoke() if options.smoke else (take_turns(bench, ALL_SIDES), bench.save())
    save = save_of(rows, sizes)
    figures = {side: figures_of(ranks_of_runs) for side, ranks_of_runs in runs.items()}
    bars = [bar_of(figures, precision) for precision in PRECISIONS if Side("ours", precision) in runs]
    bars.append(Bar(f"share of a save every {SAVE_EVERY_STEPS} steps", save["share"], 0.02, judged=bars[0].judged))
    print_sides(figures)
    print(f"\na save takes {save['save_ms']:.0f} ms, and a step {save['step_ms']:.0f} ms")
    print_bars(bars, options, "other processes take the cores")
    return end("step", record(sizes, runs, figures, save), bars, ("torch", "horovod"), options)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Bench:
    """Rendered words, and jobs over them, in one temporary folder."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder, self.sizes = folder, sizes
        self.threads = max(1, len(os.sched_getaffinity(0)) // RANKS)

    def draw_words(self) -> None:
        raw = self.folder / "raw"
        synthesize(SynthOptions(words=self.sizes.words, out=raw, seed=0))
        # all words in one split, so that there is no validation between the steps
        build_shards(ShardOptions.of(src=raw, out=self.folder / "set", profile="urdu", fractions=(1.0, 0.0, 0.0)))

    def run(self, side: Side) -> list[dict]:
        """The figures of each rank, as one_step_run.py names them."""
        how, _, cycle_ms = side.name.removesuffix(" ms").partition(", ")
        task = {"side": how, "precision": side.precision}
        if how == "ours":
            return self._horovod("one_step_run.py", task, {"HOROVOD_CYCLE_TIME": cycle_ms} if cycle_ms else {})
        ranks = 1 if how == "alone" else RANKS
        meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(ranks)}
        environments = [{**meet, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]
        return self._watched([], "one_step_run.py", task, environments)

    def save(self) -> dict[str, list[float]]:
        """The rows of rank 0, as step_saving_run.py names them."""
        return self._horovod("step_saving_run.py", {}, {})[0]

    def smoke(self) -> tuple[dict[Side, list[list[dict]]], dict[str, list[float]]]:
        """Most of it in one job of two processes: (one run of each of SMOKE_SIDES, the rows of `save`)."""
        print(f"left out: {'; '.join(str(side) for side in ALL_SIDES if side not in SMOKE_SIDES)}")
        ranks = self._horovod("step_smoke_run.py", {"precision": "fp32", "port": free_port()}, {})
        runs = {side: [[rank[side.name] for rank in ranks]] for side in SMOKE_SIDES}
        check_weights(runs)
        return runs, ranks[0]["rows"]

    def _horovod(self, program: str, task: dict, more: dict[str, str]) -> list[dict]:
        horovodrun = str(Path(sys.executable).with_name("horovodrun"))
        start = [horovodrun, "--gloo", "-np", str(RANKS), "-H", f"localhost:{RANKS}"]
        return self._watched(start, program, task, [more])

    def _watched(self, start: list[str], program: str, task: dict, environments: list[dict[str, str]]) -> list[dict]:
        """Start a program in each environment, wait for all, and read the files that their ranks wrote."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            task |= {"threads": self.threads, "set": str(self.folder / "set"), "out": out}
            task |= self.sizes._asdict()
            command = [*start, sys.executable, str(SIDES / program), json.dumps(task)]
            on_cpus = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            running = [subprocess.Popen(command, env={**on_cpus, **more}, **pipes) for more in environments]
            printed = [process.communicate()[0] for process in running]
            if any(process.returncode for process in running):
                sys.exit(f"{''.join(printed)}\n{program} failed at {task}; nothing to compare")
            return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(out).glob("rank*.json"))]


def take_turns(bench: Bench, sides: Sequence[Side]) -> dict[Side, list[list[dict]]]:
    """Every side once in each round: of each run the figures of each rank."""
    runs: dict[Side, list[list[dict]]] = {side: [] for side in sides}
    for number in range(bench.sizes.rounds):
        for side in sides:
            runs[side].append(bench.run(side))
        check_weights(runs)
        print(f"round {number + 1} of {bench.sizes.rounds}", file=sys.stderr)
    return runs


def check_weights(runs: dict[Side, list[list[dict]]]) -> None:
    """Exits unless all sides that exchange end with the same weights."""
    for precision in PRECISIONS:
        ends = {
            rank["weights"]
            for side, jobs in runs.items()
            if side.precision == precision and side.name not in ("alone", "apart")
            for ranks in jobs
            for rank in ranks
        }
        if len(ends) > 1:
            sys.exit(f"{precision}: sides that exchange end with other weights; nothing to compare")


def save_of(rows: dict[str, list[float]], sizes: Sizes) -> dict[str, float]:
    """save_ms; step_ms, including reading; share: of the time, if there is a save every SAVE_EVERY_STEPS."""
    plain_s, saving_s = (statistics.median(rows[kind]) for kind in ("plain_s", "saving_s"))
    step_s = plain_s / sizes.steps_a_row
    share = (saving_s - plain_s) / (SAVE_EVERY_STEPS * step_s)
    return {"save_ms": 1e3 * (saving_s - plain_s), "step_ms": 1e3 * step_s, "share": share}


def figures_of(runs: list[list[dict]]) -> Figures:
    step_ms, cpu_ms, others = [], [], []
    cores = len(os.sched_getaffinity(0))
    for ranks in runs:
        step_s, cpu_s = (statistics.mean(rank[name] for rank in ranks) for name in ("step_s", "cpu_s"))
        step_ms.append(1e3 * step_s)
        cpu_ms.append(1e3 * cpu_s)
        others.append((ranks[0]["busy_s"] - cpu_s * len(ranks)) / (step_s * cores))
    median = statistics.median(step_ms)
    quarters = statistics.quantiles(step_ms, n=4) if len(step_ms) > 1 else [median] * 3
    noise = (quarters[2] - quarters[0]) / median
    return Figures(median, statistics.median(cpu_ms), noise, statistics.median(others))


def bar_of(figures: dict[Side, Figures], precision: str) -> Bar:
    ddp, ours = (figures[Side(name, precision)] for name in ("ddp", "ours"))
    cores_are_free = max(ddp.others, ours.others) <= MOST_OTHERS
    return Bar(f"ours / ddp, step, {precision}", ours.step_ms / ddp.step_ms, 1.08, judged=cores_are_free)


def print_sides(figures: dict[Side, Figures]) -> None:
    print(f"{'a step':<24}{'ms':>10}{'of ddp':>10}{'noise':>10}{'CPU ms':>10}{'others':>10}")
    for side, seen in figures.items():
        of_ddp = seen.step_ms / figures[Side("ddp", side.precision)].step_ms
        print(
            f"{side!s:<24}{seen.step_ms:>10.1f}{of_ddp:>10.3f}{seen.noise:>10.3f}{seen.cpu_ms:>10.1f}{seen.others:>10.3f}"
        )


def record(
    sizes: Sizes,
    runs: dict[Side, list[list[dict]]],
    figures: dict[Side, Figures],
    save: dict,
) -> dict:
    rank = next(ranks[0] for side, (ranks, *_) in runs.items() if side.name == "ours")
    return {
        "rounds": sizes.rounds,
        "steps": sizes.steps,
        "auto": rank["precision"],
        "width_px": rank["width_px"],
        "sides": {
            str(side): {name: round(value, 3) for name, value in seen._asdict().items()}
            for side, seen in figures.items()
        },
        "save": {name: round(value, 4) for name, value in save.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
