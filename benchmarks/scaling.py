"""What every way to exchange costs on links of many kinds, against what is forecast, and whether the advice is good.
Takes three quarters of an hour; wants two free cores, and root to make the hosts.

    python benchmarks/scaling.py [--out scaling] [--scores runs/a runs/b ...]
    python benchmarks/scaling.py --smoke      # the whole path in two minutes, on one link

Three hosts (those of tests/hosts), one rank each, at links of 0.1, 1, 2.5 and 10 Gbit/s, in and out of each host, and
0.1, 1 and 5 ms from one host to another. `horovod-ocr scaling` measures each: a model of 10 M parameters whose forward
and backward sleep 100 ms, since two cores that computed for three hosts would decide and not the network. These
cores cannot fill a link of 10 Gbit/s.

    server / ring      the step of parameter-server by that of allreduce, 1 Gbit/s, 0.1 ms
    sharded / ring     the same of sharded-server
    forecast errors    of every step of the grid, from the bare allreduce of the same job: median and largest
    advice             `scaling --advise` on three links; then every way is measured: time to the same score of the
                       advised way by that of the best. Samples until that score are those of --scores, runs that were
                       trained before (docs/scaling.md has the commands); without, those that the advice assumes

All jobs of a link run one after the other; `--out` holds scaling.json and scaling.html of all links. The last line is
JSON; the exit code is 1 if a bar does not hold.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests, which have the hosts

from sides.bars import Bar, end, parser_of, print_bars

from horovod_ocr.scaling.advice import SAMPLES_TO_SCORE
from horovod_ocr.scaling.figures import Study, load_studies
from horovod_ocr.scaling.forecast import FAR_OFF, Miss, check_forecasts
from horovod_ocr.scaling.scores import read_curves, steps_to_same
from horovod_ocr.scaling.ways import USUAL
from tests.hosts.bed import Bed, what_is_missing

ROOT = Path(__file__).parents[1]
GRID_WAYS = (*USUAL, "torch-ddp")
# Three hosts share the cores: memory is kept rather than asked of the kernel in every step
SPARING = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "PYTHONPATH": str(ROOT),
}


class Wire(NamedTuple):
    """A link to be made."""

    gigabits: float
    """In a second, in and out of a host."""
    delay_ms: float
    """From one host to another."""

    @property
    def name(self) -> str:
        return f"{self.gigabits:g} Gbit/s, {self.delay_ms:g} ms"

    @property
    def seconds(self) -> float:
        """For each way: enough for three steps of the slowest."""
        return 5.0 if self.gigabits >= 1 else 16.0


class Sizes(NamedTuple):
    """How much is measured."""

    grid: tuple[Wire, ...] = tuple(
        Wire(gigabits, delay_ms) for gigabits in (0.1, 1, 2.5, 10) for delay_ms in (0.1, 1, 5)
    )
    advised: tuple[Wire, ...] = (Wire(0.1, 1), Wire(1, 0.1), Wire(10, 0.1))
    reference: Wire = Wire(1, 0.1)
    """The link of the bars, on which strong scaling is measured too."""
    parameters: int = 10_000_000
    step_ms: float = 100.0
    advised_step_ms: float = 300.0
    """Of the whole batch on one rank: three ranks share it."""
    seconds: float | None = None
    """For each way; None: `Wire.seconds`."""


SMOKE = Sizes((Wire(1, 1),), (Wire(1, 1),), Wire(1, 1), 100_000, 10.0, 30.0, 0.5)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--out", type=Path, help="for the page of all links")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="runs of one recipe by several ways")
    options = parser.parse_args()
    if missing := what_is_missing():
        sys.exit(f"this machine cannot make the hosts: {missing}")
    sizes = SMOKE if options.smoke else Sizes()
    samples = samples_to_score(options.scores)
    with tempfile.TemporaryDirectory() as folder, Bed(Path(folder) / "bed") as bed:
        bench = Bench(bed, Path(folder), sizes)
        studies = [bench.study(wire) for wire in sizes.grid]
        given = [bench.advice(wire, samples) for wire in sizes.advised]
        if options.out:
            draw(studies, bench, options.scores, options.out)
    misses = check_forecasts(studies)
    print_grid(studies, misses)
    bars = bars_of(studies[sizes.grid.index(sizes.reference)], misses, given)
    print_bars(bars, options)
    return end("scaling", record(studies, misses, given), bars, ("torch", "horovod"), options)


class Bench:
    """The hosts, and what is measured on them."""

    def __init__(self, bed: Bed, folder: Path, sizes: Sizes) -> None:
        self.bed, self.folder, self.sizes = bed, folder, sizes
        (folder / "hosts.txt").write_text(bed.hosts_txt.read_text())  # a name that sentences of a record can have

    def command(self, wire: Wire, step_ms: float, *options: str) -> str:
        """What `horovod-ocr scaling` on node1 prints."""
        for host in self.bed.hosts:
            self.bed.shape(host, f"{wire.gigabits:g}gbit", wire.delay_ms)
        seconds = self.sizes.seconds or wire.seconds
        model = ["--simulate-step-ms", f"{step_ms:g}", "--parameters", str(self.sizes.parameters)]
        named = ["--name", wire.name, "--seconds", f"{seconds:g}", "-H", "hosts.txt"]
        command = [sys.executable, "-m", "horovod_ocr", "scaling", *model, *named, *options]
        done = self.bed.exec("node1", command, cwd=self.folder, env=SPARING, timeout_s=3000)
        if done.returncode:
            sys.exit(f"{done.stdout}{done.stderr}\n{' '.join(command)} failed on {wire.name}")
        print(f"measured: {wire.name} {' '.join(options[:2])}", file=sys.stderr)
        return done.stdout

    def path_of(self, wire: Wire) -> Path:
        return self.folder / f"{wire.gigabits:g}-{wire.delay_ms:g}"

    def study(self, wire: Wire) -> Study:
        """Weak scaling with three ranks; on the link of the bars with 1, 2 and 3, and strong scaling too."""
        axes = ["--ranks", "1,2,3"] if wire == self.sizes.reference else ["--ranks", "3", "--only", "weak"]
        ways = ["--ways", ",".join(GRID_WAYS)]
        self.command(wire, self.sizes.step_ms, *axes, *ways, "--out", str(self.path_of(wire)))
        (study,) = load_studies(self.path_of(wire) / "scaling.json")
        return study

    def advice(self, wire: Wire, samples: dict[str, float]) -> dict:
        """The advised way, and times until the same score as measured. samples: until that, of those of allreduce."""
        advised = json.loads(self.command(wire, self.sizes.advised_step_ms, "--advise", "--json"))
        out = self.folder / "all"
        self.command(wire, self.sizes.advised_step_ms, "--ranks", "1,2,3", "--only", "strong", "--out", str(out))
        (study,) = load_studies(out / "scaling.json")
        costs = {
            f"{name}, {job.ranks} ranks": way.step_s * samples.get(name, 1.0)
            for job in study.strong
            for name, way in job.ways.items()
        }
        chosen = advised["advice"]["chosen"]
        mine = costs.get(f"{chosen['way']}, {chosen['ranks']} ranks", float("inf"))
        best = min(costs, key=costs.__getitem__)
        return {
            "link": wire.name,
            "advised": chosen["way"],
            "ranks": chosen["ranks"],
            "best": best,
            "behind": mine / costs[best] - 1,
            "sentences": advised["sentences"],
        }


def samples_to_score(runs: Sequence[Path]) -> dict[str, float]:
    """Way -> samples until the score that all ways reach, of those that allreduce needs."""
    if not runs:
        return SAMPLES_TO_SCORE
    curves = read_curves(runs)
    if len({curve.task for curve in curves}) > 1:
        sys.exit("--scores: give runs of one recipe")
    _, steps = steps_to_same({curve.way: curve for curve in curves})
    if "allreduce" not in steps:
        sys.exit("--scores: give a run of allreduce too")
    return {way: steps[way] / steps["allreduce"] for way in steps if way not in ("allreduce", "allreduce-fp16")}


def draw(studies: Sequence[Study], bench: Bench, runs: Sequence[Path], out: Path) -> None:
    """The page of all links."""
    files = [word for wire in bench.sizes.grid for word in ("--draw", str(bench.path_of(wire) / "scaling.json"))]
    scores = [word for run in runs for word in ("--scores", str(run))]
    command = [sys.executable, "-m", "horovod_ocr", "scaling", *files, *scores, "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def bars_of(reference: Study, misses: Sequence[Miss], given: Sequence[dict]) -> list[Bar]:
    ways = reference.jobs[-1].ways
    ring = ways["allreduce"].step_s
    errors = [abs(miss.error) for miss in misses]
    return [
        Bar("parameter-server / allreduce", ways["parameter-server"].step_s / ring, 2.0, at_most=False),
        Bar("sharded-server / allreduce", ways["sharded-server"].step_s / ring, 1.25),
        Bar("median error of the forecasts", statistics.median(errors), 0.15),
        Bar("largest error of the forecasts", max(errors), FAR_OFF),
        *(Bar(f"advice behind the best, {each['link']}", each["behind"], 0.1) for each in given),
    ]


def print_grid(studies: Sequence[Study], misses: Sequence[Miss]) -> None:
    """A step of each way on each link, three ranks; then the forecasts that are far off."""
    print(f"{'a step, ms':<22}" + "".join(f"{name:>18}" for name in GRID_WAYS))
    for study in studies:
        ways = study.jobs[-1].ways
        cells = [f"{1e3 * ways[name].step_s:>18,.0f}" if name in ways else f"{'-':>18}" for name in GRID_WAYS]
        print(f"{study.name:<22}{''.join(cells)}")
    for miss in sorted(misses, key=lambda miss: -abs(miss.error)):
        if abs(miss.error) > FAR_OFF:
            print(
                f"missed: {miss.way} on {miss.study}, {miss.ranks} ranks, {miss.scaling}: {1e3 * miss.measured_s:,.0f} "
                f"ms, forecast {1e3 * miss.forecast_s:,.0f} ms ({miss.error:+.0%})"
            )


def record(studies: Sequence[Study], misses: Sequence[Miss], given: Sequence[dict]) -> dict:
    return {
        "steps_ms": {
            study.name: {name: round(1e3 * way.step_s, 1) for name, way in study.jobs[-1].ways.items()}
            for study in studies
        },
        "links": {
            study.name: {
                "alpha_ms": round(1e3 * study.jobs[-1].link.alpha_s, 4),
                "beta_gigabits": round(study.jobs[-1].link.gigabits, 4),
            }
            for study in studies
        },
        "errors": {
            f"{miss.study}, {miss.ranks} ranks, {miss.scaling}, {miss.way}": round(miss.error, 3) for miss in misses
        },
        "advice": list(given),
    }


if __name__ == "__main__":
    sys.exit(main())
