"""The stream against what others read words with, and the bars that it keeps. Takes about a quarter of an hour.

    python benchmarks/stream.py [--samples 30000] [--rounds 5]

On rendered words, batches of 256 grey images of 64 px height, one process, no workers, one torch thread, warm page
cache. Each run is a process of its own (sides/one_stream_run.py) that reads its set once to warm up, then once
measured; the sides (sides/word_readers.py) take turns; figures are medians of CPU seconds, user and system:

    stock         webdataset: decode("l"), map, batched
    parseq        PARSeq's LMDB, Dataset and DataLoader, all images of one size
    mosaicml, litdata    StreamingDataset, local, their defaults; the set holds image files (bytes) or pixels (pil)
    ours          this project's stream without augmentation: the shards' images, and the decoder
Then: a resume in the middle of an epoch of 35 million simulated samples; how well an epoch is shuffled; and the demo's
step on batches of one bucket against one width for all. Of the sides, ours and parseq shuffle. mosaicml and
litdata are judged like against like: sets of the raw image files, and sets prepared for the trained height, which with
theirs are pixels (pil: no decoder is needed, and twice as many bytes) and with ours `--image jpeg --height 64`. All
other ratios are reported. The last line is JSON; exits 1 where a bar does not hold.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from sides.apart import install_reader
from sides.bars import Bar, machine_of, print_bars, print_us, record_of
from sides.streaming import VERSION

from horovod_ocr.data.image import Geometry
from sharding.format.index import read_index

SIDES = Path(__file__).parent / "sides"
HEIGHT_PX = 64
OURS = ("png, pillow", "png, fast", "jpeg, fast", "jpeg 64 px, fast")
MOSAICML = ("mosaicml bytes", "mosaicml pil")
LITDATA = ("litdata bytes", "litdata pil")
READERS = ("stock png", "stock jpeg", "parseq", *MOSAICML, *LITDATA, *(f"ours {form}" for form in OURS))
PACKAGES = ("webdataset", "litdata", "lmdb", "torch", "numpy", "pillow", "opencv-python-headless", "simplejpeg")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), install_reader(), options.samples)
        figures = take_turns(bench, options.rounds)
        shuffles, widths = bench.run("shuffle"), bench.run("widths")
    us = {side: 1e6 * statistics.median(run["cpu_s"] for run in figures[side]) / options.samples for side in READERS}
    resume_s = statistics.median(run["resume_s"] for run in figures["resume"])
    ratios = ratios_of(us, widths)
    bars = [
        Bar("stock png / ours png, pillow", us["stock png"] / us["ours png, pillow"], 1.8, at_most=False),
        Bar("stock png / ours png, fast", us["stock png"] / us["ours png, fast"], 3, at_most=False),
        Bar("stock png / ours jpeg, fast", us["stock png"] / us["ours jpeg, fast"], 5.5, at_most=False),
        Bar("stock png / ours jpeg 64 px, fast", us["stock png"] / us["ours jpeg 64 px, fast"], 8, at_most=False),
        Bar("parseq / ours png, pillow", us["parseq"] / us["ours png, pillow"], 1.5, at_most=False),
        *(
            Bar(f"{theirs} / ours {ours}", us[theirs] / us[f"ours {ours}"], 1, at_most=False)
            for library in (MOSAICML, LITDATA)
            for theirs, ours in zip(library, (OURS[1], OURS[3]), strict=True)
        ),
        Bar("resume in 35 M samples, s", resume_s, 0.2),
        Bar("files opened by a resume", max(run["files_opened"] for run in figures["resume"]), 0),
        Bar("rank correlation of 35 M samples", abs(shuffles["rank_correlation"]), 0.02),
    ]
    print_us("CPU us a sample", us)
    print_ratios(ratios)
    print_shuffles(shuffles["orders"])
    print_bars(bars)
    print(json.dumps(record(options, us, bars, ratios, shuffles, widths)))
    return 0 if all(bar.holds for bar in bars) else 1


class Bench:
    """The words in the forms that all sides read, and runs over them, in one temporary folder."""

    def __init__(self, folder: Path, streaming: list[str], samples: int) -> None:
        self.folder, self.streaming, self.samples = folder, streaming, samples
        self._call("word_sets.py", {"folder": str(folder), "words": samples, "streaming": streaming})
        self.parseq_width_px = mean_width_px(folder / "png")
        self.labels = ""  # their digest, the same from every side

    def run(self, side: str) -> dict:
        """The figures of one side, as one_stream_run.py names them."""
        task = {
            "side": side,
            "sets": str(self.folder),
            "streaming": self.streaming,
            "parseq_width_px": self.parseq_width_px,
        }
        return json.loads(self._call("one_stream_run.py", task).splitlines()[-1])

    def read(self, side: str) -> dict:
        """The figures of a side that reads; exits where it does not deliver every word once."""
        figures = self.run(side)
        self.labels = self.labels or figures["labels"]
        if figures["samples"] != self.samples or figures["labels"] != self.labels:
            sys.exit(f"{side} gave {figures['samples']:,} samples, not the {self.samples:,} words; nothing to compare")
        return figures

    def _call(self, script: str, task: dict) -> str:
        run = subprocess.run([sys.executable, SIDES / script, json.dumps(task)], capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"{run.stderr}{script}, {task.get('side', 'sets')}, ended with {run.returncode}")
        return run.stdout


def mean_width_px(shards: Path) -> int:
    """What our images are padded to on average, in whole steps of 8 px below: PARSeq's side gets no more pixels."""
    index = read_index(shards)
    geometry = Geometry(HEIGHT_PX, index.bucket_edges)
    columns = sum(count * geometry.width_px(position) for position, count in enumerate(index.bucket_samples))
    return columns // sum(index.bucket_samples) // 8 * 8


def take_turns(bench: Bench, rounds: int) -> dict[str, list[dict]]:
    """Every side once a round."""
    figures: dict[str, list[dict]] = {side: [] for side in (*READERS, "resume")}
    for number in range(rounds):
        for side in READERS:
            figures[side].append(bench.read(side))
        figures["resume"].append(bench.run("resume"))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return figures


def ratios_of(us: dict[str, float], widths: dict) -> dict[str, float]:
    """What no bar asks for."""
    return {
        "stock jpeg / ours jpeg, fast": us["stock jpeg"] / us["ours jpeg, fast"],
        "stock jpeg / ours jpeg 64 px, fast": us["stock jpeg"] / us["ours jpeg 64 px, fast"],
        **{
            f"{side} / ours png, {decoder}": us[side] / us[f"ours png, {decoder}"]
            for side in (*MOSAICML, *LITDATA)
            for decoder in ("pillow", "fast")
        },
        "step, width of the widest / of a class": widths["widest_s"] / widths["class_s"],
        "step, width of 99 % / of a class": widths["most words_s"] / widths["class_s"],
    }


def print_ratios(ratios: dict[str, float]) -> None:
    print(f"\n{'reported':<46}{'':>8}")
    for name, value in ratios.items():
        print(f"{name:<46}{value:>8.2f}")


def print_shuffles(shuffles: dict[str, dict[str, float]]) -> None:
    print(f"\n{'an epoch':<34}{'rank correlation':>18}{'chi-square of letters a batch':>32}")
    print(f"{'':<52}{'of the set':>16}{'of its class':>16}")
    for order, seen in shuffles.items():
        letters = f"{seen['letters_of_set']:>16.2f}{seen['letters_of_class']:>16.2f}"
        print(f"{order:<34}{seen['rank_correlation']:>18.3f}{letters}")


def record(options: argparse.Namespace, us: dict, bars: list[Bar], ratios: dict, shuffles: dict, widths: dict) -> dict:
    def rounded(values: dict) -> dict:
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}

    return {
        "benchmark": "stream",
        **record_of(bars),
        "samples": options.samples,
        "rounds": options.rounds,
        "cpu_us_a_sample": {side: round(value, 2) for side, value in us.items()},
        "ratios": rounded(ratios),
        "shuffle": {order: rounded(seen) for order, seen in shuffles["orders"].items()},
        "widths": rounded(widths),
        "mosaicml-streaming": VERSION,
        **machine_of(*PACKAGES),
    }


if __name__ == "__main__":
    sys.exit(main())
