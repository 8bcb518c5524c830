"""A training step on 2 ranks against torch's DistributedDataParallel, and what a checkpoint costs. Takes about a
quarter of an hour; wants two free cores.

    python benchmarks/step.py [--rounds 7] [--steps 30]

The demo's model, its batch of 64 over 2 ranks, as many threads for each rank, on batches that lie in memory. Each run
is a job of its own (sides/one_step_run.py) that takes a few steps to warm up, then the measured ones; the sides take
turns; a run's figure is the mean of its steps, a side's the median of its runs:

    alone          one process with one rank's share
    apart          two processes that exchange nothing
    ddp            DistributedDataParallel with gloo, its defaults, but without exchanging BatchNorm's statistics
    ours           this project's defaults
    ours, <n> ms   with that HOROVOD_CYCLE_TIME; 1 ms is Horovod's own default, 25 ms ours
Each in the precision that training chooses on this machine, and in fp32. All sides that exchange must end with the
same weights, bit by bit. noise: half of a side's runs lie that close together, as a share of the median. Then a run of
training, with reading, that saves now and then (sides/step_saving_run.py). The last line is JSON; exits 1 where a bar
does not hold.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from sides.bars import Bar, machine_of, print_bars, record_of

from horovod_ocr.synth.generate import SynthOptions, synthesize
from sharding.build import build_shards
from sharding.options import ShardOptions

SIDES = Path(__file__).parent / "sides"
RANKS = 2
WORDS = 3000
WARM_UP = 6  # steps
SAVES, SAVE_EVERY_STEPS = 15, 50  # as many are measured
SIDES_OF_ALL = ("alone", "apart", "ddp", "ours")
SIDES_OF_CYCLES = ("ours, 1 ms", "ours, 5 ms")
PRECISIONS = ("auto", "fp32")
MOST_OTHERS = 0.05  # of the cores' time, taken by processes that are not ours


class Side(NamedTuple):
    """name: as above. precision: auto or fp32."""

    name: str
    precision: str

    def __str__(self) -> str:
        return f"{self.name}, {self.precision}"


class Figures(NamedTuple):
    """Of a side: medians of its runs. cpu_ms: of one rank, all its threads. noise: see above. others: share of the
    cores' time that went to processes of others."""

    step_ms: float
    cpu_ms: float
    noise: float
    others: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.steps)
        bench.draw_words()
        runs = take_turns(bench, options.rounds)
        save = bench.save()
    figures = {side: figures_of(ranks_of_runs) for side, ranks_of_runs in runs.items()}
    bars = [bar_of(figures, precision) for precision in PRECISIONS]
    bars.append(Bar(f"share of a save every {SAVE_EVERY_STEPS} steps", save["share"], 0.02, judged=bars[0].judged))
    print_sides(figures)
    print(f"\na save takes {save['save_ms']:.0f} ms, where a step takes {save['step_ms']:.0f}")
    print_bars(bars, "other processes take the cores")
    print(json.dumps(record(options, runs, figures, save, bars)))
    return 0 if all(bar.holds for bar in bars) else 1


class Bench:
    """Rendered words, and jobs over them, in one temporary folder."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder, self.steps = folder, steps
        self.threads = max(1, len(os.sched_getaffinity(0)) // RANKS)

    def draw_words(self) -> None:
        raw = self.folder / "raw"
        synthesize(SynthOptions(words=WORDS, out=raw, seed=0))
        # every word into one split: no validation between the steps
        build_shards(ShardOptions(src=raw, out=self.folder / "set", profile="urdu", fractions=(1.0, 0.0, 0.0)))

    def run(self, side: Side) -> list[dict]:
        """The figures of each rank, as one_step_run.py names them."""
        how, _, cycle_ms = side.name.removesuffix(" ms").partition(", ")
        task = {"side": how, "precision": side.precision, "steps": self.steps, "warm_up": WARM_UP}
        if how == "ours":
            return self._horovod("one_step_run.py", task, {"HOROVOD_CYCLE_TIME": cycle_ms} if cycle_ms else {})
        ranks = 1 if how == "alone" else RANKS
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(ranks)}
        return self._watched([], "one_step_run.py", task, [{**meet, "RANK": str(rank)} for rank in range(ranks)])

    def save(self) -> dict[str, float]:
        """save_ms; step_ms, reading included; share: of the time, of a save every SAVE_EVERY_STEPS."""
        rows = self._horovod("step_saving_run.py", {"saves": SAVES}, {})[0]
        plain_s, saving_s = (statistics.median(rows[kind]) for kind in ("plain_s", "saving_s"))
        step_s = plain_s / rows["steps_a_row"]
        share = (saving_s - plain_s) / (SAVE_EVERY_STEPS * step_s)
        return {"save_ms": 1e3 * (saving_s - plain_s), "step_ms": 1e3 * step_s, "share": share}

    def _horovod(self, program: str, task: dict, more: dict[str, str]) -> list[dict]:
        horovodrun = str(Path(sys.executable).with_name("horovodrun"))
        start = [horovodrun, "--gloo", "-np", str(RANKS), "-H", f"localhost:{RANKS}"]
        return self._watched(start, program, task, [more])

    def _watched(self, start: list[str], program: str, task: dict, environments: list[dict[str, str]]) -> list[dict]:
        """Start a program in each environment, wait for all, and read what their ranks leave."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            task = {**task, "threads": self.threads, "set": str(self.folder / "set"), "out": out}
            command = [*start, sys.executable, str(SIDES / program), json.dumps(task)]
            on_cpus = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            running = [subprocess.Popen(command, env={**on_cpus, **more}, **pipes) for more in environments]
            printed = [process.communicate()[0] for process in running]
            if any(process.returncode for process in running):
                sys.exit(f"{''.join(printed)}\n{program} failed at {task}; nothing to compare")
            return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(out).glob("rank*.json"))]


def take_turns(bench: Bench, rounds: int) -> dict[Side, list[list[dict]]]:
    """Every side once a round: of each run the figures of each rank."""
    sides = [Side(name, "auto") for name in (*SIDES_OF_ALL, *SIDES_OF_CYCLES)]
    sides += [Side(name, "fp32") for name in SIDES_OF_ALL]
    runs: dict[Side, list[list[dict]]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in sides:
            runs[side].append(bench.run(side))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    for precision in PRECISIONS:
        ends = {
            rank["weights"]
            for side in sides
            if side.precision == precision and side.name not in ("alone", "apart")
            for ranks in runs[side]
            for rank in ranks
        }
        if len(ends) > 1:
            sys.exit(f"{precision}: ours and ddp end with other weights; nothing to compare")
    return runs


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
    options: argparse.Namespace,
    runs: dict[Side, list[list[dict]]],
    figures: dict[Side, Figures],
    save: dict,
    bars: list[Bar],
) -> dict:
    rank = runs[Side("ours", "auto")][0][0]
    return {
        "benchmark": "step",
        **record_of(bars),
        "rounds": options.rounds,
        "steps": options.steps,
        "auto": rank["precision"],
        "width_px": rank["width_px"],
        "sides": {
            str(side): {name: round(value, 3) for name, value in seen._asdict().items()}
            for side, seen in figures.items()
        },
        "save": {name: round(value, 4) for name, value in save.items()},
        **machine_of("torch", "horovod"),
    }


if __name__ == "__main__":
    sys.exit(main())
