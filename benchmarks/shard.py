"""Sharding against what others write shards with, and the bars that the sharder keeps. Takes about five minutes.

    python benchmarks/shard.py [--images 20000] [--rounds 5]
    python benchmarks/shard.py --smoke      # the whole path in seconds, without what needs other packages

On rendered words. Each run is a process of its own (sides/one_shard_run.py) that does the work once to warm up, then
once measured; the sides take turns; figures are medians of CPU seconds, user and system:

    ShardWriter              webdataset's, used naively          no checks
    MDSWriter                mosaicml-streaming's, its defaults  no checks
    build header, structure, full    this project's whole build with that --check, one worker
    look structure, full             that check alone, of bytes in memory
Then: two workers against one by the wall clock, how often a build and an audit open each image, and the peak memory of
a worker over as many images, four times as many, and large ones. The last line is JSON; exits 1 if a bar does not
hold.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from sides.bars import Bar, end, parser_of, print_bars, print_us
from sides.memory import Peaks, watch_peaks
from sides.streaming import VERSION, install_streaming

from horovod_ocr.synth.generate import SynthOptions, synthesize

ONE_RUN = Path(__file__).parent / "sides" / "one_shard_run.py"
LOOKS = ("look structure", "look full")
SIDES = ("ShardWriter", "MDSWriter", "build header", "build structure", "build full", *LOOKS)
LARGE_SHAPE = (256, 800)  # height, width in px: 200 KB as a PNG of noise
BUSY_LOOP = "import time; t = time.perf_counter(); sum(range(20_000_000)); print(time.perf_counter() - t)"
MOST_SLOWDOWN = 1.15  # of two busy loops at once, if two cores are free


class Sizes(NamedTuple):
    """How much is measured."""

    images: int = 20_000
    rounds: int = 5
    large_images: int = 2000


SMOKE = Sizes(images=200, rounds=1, large_images=20)
SMOKE_SIDES = tuple(side for side in SIDES if side != "MDSWriter")


class Turns(NamedTuple):
    """What each round measured."""

    cpu_s: dict[str, list[float]]
    one_worker_s: list[float]
    two_workers_s: list[float]
    slowdowns: list[float]
    """Of two busy loops at once against one, by the wall clock."""

    @property
    def speedup(self) -> float:
        return statistics.median(self.one_worker_s) / statistics.median(self.two_workers_s)

    @property
    def cores_are_free(self) -> bool:
        return statistics.median(self.slowdowns) <= MOST_SLOWDOWN


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--images", type=int, default=Sizes().images)
    parser.add_argument("--rounds", type=int, default=Sizes().rounds)
    options = parser.parse_args()
    sizes = SMOKE if options.smoke else Sizes(options.images, options.rounds)
    if options.smoke:
        print("left out: MDSWriter")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), "" if options.smoke else str(install_streaming()), sizes)
        bench.draw_sources()
        turns = take_turns(bench, SMOKE_SIDES if options.smoke else SIDES)
        opens = {side: bench.run(side, count_opens=True) for side in ("build full", "audit")}
        peaks = {source: bench.peaks(source) for source in ("raw", "four times", "large")}
    us = {side: 1e6 * statistics.median(values) / sizes.images for side, values in turns.cpu_s.items()}
    bars = [
        Bar("build header / ShardWriter, CPU", us["build header"] / us["ShardWriter"], 0.2),
        *(
            [Bar("build header / MDSWriter, CPU", us["build header"] / us["MDSWriter"], 1.3)]
            if "MDSWriter" in us
            else []
        ),
        Bar("build structure / build full, CPU", us["build structure"] / us["build full"], 0.6),
        Bar("one worker / two workers, wall clock", turns.speedup, 1.6, at_most=False, judged=turns.cores_are_free),
        *(
            bar
            for side, seen in opens.items()
            for bar in (
                Bar(f"images that {side} opens / images", seen["images_opened"] / sizes.images, 1, at_most=False),
                Bar(f"opens of one image by {side}, most", seen["most_opens_of_an_image"], 1),
            )
        ),
        *(Bar(f"peak MB of a worker, {source}", peak.worker_mb, 300) for source, peak in peaks.items()),
    ]
    print_tables(us, bars, turns, options)
    return end("shard", record(sizes, us, turns, peaks), bars, ("webdataset", "numpy", "pillow"), options)


class Bench:
    """The sources, and runs over them, in one temporary folder."""

    def __init__(self, folder: Path, streaming: str, sizes: Sizes) -> None:
        self.folder, self.streaming, self.sizes = folder, streaming, sizes
        self.images = {"raw": sizes.images, "four times": 4 * sizes.images, "large": sizes.large_images}

    def draw_sources(self) -> None:
        for source in ("raw", "four times"):
            synthesize(SynthOptions(words=self.images[source], out=self.folder / source, seed=0))
        header, *lines = (self.folder / "raw" / "labels.tsv").read_text(encoding="utf-8").splitlines()
        large = self.folder / "large"
        large.mkdir()
        rng = np.random.default_rng(0)
        rows = [header]
        for number, line in enumerate(islice(cycle(lines), self.sizes.large_images)):
            _, label, subset = line.split("\t")
            rows.append(f"{number:06d}.png\t{label}\t{subset}")
            Image.fromarray(rng.integers(0, 256, LARGE_SHAPE, np.uint8)).save(large / f"{number:06d}.png")
        (large / "labels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")

    def run(self, side: str, **more) -> dict[str, float]:
        """The figures of one side over the words, as one_shard_run.py names them."""
        return self._watched(side, "raw", subprocess.Popen.wait, **more)[0]

    def peaks(self, source: str) -> Peaks:
        """Of a build with two workers, with one shard for each split and bucket, which takes all of the source."""
        return self._watched("build full", source, watch_peaks, workers=2)[1]

    def _watched(self, side: str, source: str, watch: Callable, **more) -> tuple[dict, object]:
        out = self.folder / "out"
        task = {"side": side, "src": str(self.folder / source), "out": str(out), "streaming": self.streaming, **more}
        command = [sys.executable, str(ONE_RUN), json.dumps(task)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            seen = watch(process)
            printed = process.stdout.read()
        shutil.rmtree(out, ignore_errors=True)
        if process.returncode:
            sys.exit(f"{side} over {source} ended with {process.returncode}; nothing to compare")
        figures = json.loads(printed)
        if figures["samples"] != self.images[source]:
            sys.exit(f"{side} wrote {figures['samples']:,} of {self.images[source]:,} samples; nothing to compare")
        return figures, seen


def take_turns(bench: Bench, sides: Sequence[str]) -> Turns:
    """Every side once a round."""
    turns = Turns({side: [] for side in sides}, [], [], [])
    for number in range(bench.sizes.rounds):
        figures = {side: bench.run(side, warm_up=True) for side in sides}
        for side in sides:
            turns.cpu_s[side].append(figures[side]["cpu_s"])
        for workers, seconds in ((1, turns.one_worker_s), (2, turns.two_workers_s)):
            # with shards enough to share
            seconds.append(bench.run("build full", warm_up=True, workers=workers, samples_per_shard=1000)["wall_s"])
        turns.slowdowns.append(slowdown_of_two())
        print(f"round {number + 1} of {bench.sizes.rounds}", file=sys.stderr)
    return turns


def slowdown_of_two() -> float:
    """How much longer two busy loops take side by side than one alone: near 1 if two cores are free."""

    def longest(loops: int) -> float:
        command = [sys.executable, "-S", "-c", BUSY_LOOP]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(loops)]
        return max(float(process.communicate()[0]) for process in running)

    return longest(2) / longest(1)


def print_tables(us: dict[str, float], bars: list[Bar], turns: Turns, options: argparse.Namespace) -> None:
    print_us("CPU us an image, one worker", us)
    print_bars(bars, options, "two cores are not free here")
    print(f"\ntwo busy loops at once took {statistics.median(turns.slowdowns):.2f} x the time of one")


def record(sizes: Sizes, us: dict, turns: Turns, peaks: dict[str, Peaks]) -> dict:
    return {
        "images": sizes.images,
        "rounds": sizes.rounds,
        "cpu_us_an_image": {side: round(value, 2) for side, value in us.items()},
        "look_structure_of_full": round(us["look structure"] / us["look full"], 3),
        "slowdown_of_two_loops": round(statistics.median(turns.slowdowns), 3),
        "wall_s": {
            "one worker": round(statistics.median(turns.one_worker_s), 2),
            "two workers": round(statistics.median(turns.two_workers_s), 2),
        },
        "peak_mb_of_the_build_itself": {source: round(peak.own_mb) for source, peak in peaks.items()},
        "mosaicml-streaming": VERSION,
    }


if __name__ == "__main__":
    sys.exit(main())
