"""The stream against other readers of words, and the bars that it must hold. Takes about a quarter of an hour.

    python benchmarks/stream.py [--samples 30000] [--rounds 5]
    python benchmarks/stream.py --smoke      # the whole path in seconds, without what needs other packages

On rendered words, batches of 256 grey images of 64 px height, one process, no workers, one torch thread, warm page
cache. Each run is a process of its own (sides/one_stream_run.py) that reads its set once to warm up, then once
measured; the sides (sides/word_readers.py) take turns; figures are medians of CPU seconds, user and system:

    stock         webdataset: decode("l"), map, batched
    parseq        PARSeq's LMDB, Dataset and DataLoader, all images of one size
    mosaicml, litdata    StreamingDataset, local, their defaults; the set holds image files (bytes) or pixels (pil)
    ours          this project's stream without augmentation: the shards' images, and the decoder
Then: a resume in the middle of an epoch of 35 million simulated samples; how well an epoch is shuffled; and the demo's
step on batches of one bucket against one width for all. Of the sides, ours and parseq shuffle. mosaicml and litdata are
compared like with like: sets of the raw image files, and sets prepared for the trained height. The latter hold pixels
with them (pil: no decoder is needed, but twice as many bytes), and with ours `--image jpeg --height 64`. All other
ratios are reported. The last line is JSON; the exit code is 1 if a bar does not hold.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sides.apart import install_reader
from sides.bars import Bar, end, parser_of, print_bars, print_us
from sides.streaming import VERSION

from horovod_ocr.data.image import Geometry
from sharding.format.index import read_index

SIDES = Path(__file__).parent / "sides"
HEIGHT_PX = 64
OURS = ("png, pillow", "png, fast", "jpeg, fast", "jpeg 64 px, fast")
MOSAICML = ("mosaicml bytes", "mosaicml pil")
LITDATA = ("litdata bytes", "litdata pil")
READERS = ("stock png", "stock jpeg", "parseq", *MOSAICML, *LITDATA, *(f"ours {form}" for form in OURS))
SMOKE_READERS = ("stock png", "ours png, pillow", "ours jpeg 64 px, fast")
PACKAGES = ("webdataset", "litdata", "lmdb", "torch", "numpy", "pillow", "opencv-python-headless", "simplejpeg")


# stock, ours, the least ratio of their times
RATIO_BARS = (
    ("stock png", "ours png, pillow", 1.8),
    ("stock png", "ours png, fast", 3),
    ("stock png", "ours jpeg, fast", 5.5),
    ("stock png", "ours jpeg 64 px, fast", 8),
    ("parseq", "ours png, pillow", 1.5),
    *(
        (theirs, f"ours {ours}", 1)
        for library in (MOSAICML, LITDATA)
        for theirs, ours in zip(library, (OURS[1], OURS[3]), strict=True)
    ),
)


class Sizes(NamedTuple):
    """How much is measured."""

    samples: int = 30_000
    rounds: int = 5
    batch: int = 256
    """Samples of a batch whose letters are looked at."""
    simulated_shards: int = 3500
    """Of 10,000 samples each."""
    step_batch: int | None = None
    """Samples of the batches that steps are taken with; None for the demo's."""
    step_rounds: int = 3


SMOKE = Sizes(samples=400, rounds=1, batch=64, simulated_shards=35, step_batch=8, step_rounds=1)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--samples", type=int, default=Sizes().samples)
    parser.add_argument("--rounds", type=int, default=Sizes().rounds)
    options = parser.parse_args()
    sizes = SMOKE if options.smoke else Sizes(options.samples, options.rounds)
    readers = SMOKE_READERS if options.smoke else READERS
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), [] if options.smoke else install_reader(), sizes)
        if options.smoke:
            figures, shuffles, widths = smoke(bench, readers)
        else:
            figures = take_turns(bench, readers)
            shuffles, widths = bench.run("shuffle"), bench.run("widths")
    us = {side: 1e6 * statistics.median(run["cpu_s"] for run in figures[side]) / sizes.samples for side in readers}
    ratios, bars = ratios_of(us, widths), bars_of(us, figures["resume"], shuffles)
    print_us("CPU us a sample", us)
    print_ratios(ratios)
    print_shuffles(shuffles["orders"])
    print_bars(bars, options)
    return end("stream", record(sizes, us, ratios, shuffles, widths), bars, PACKAGES, options)


def bars_of(us: dict[str, float], resumes: list[dict], shuffles: dict) -> list[Bar]:
    """The bars of the sides that were measured."""
    return [
        *(
            Bar(f"{theirs} / {ours}", us[theirs] / us[ours], least, at_most=False)
            for theirs, ours, least in RATIO_BARS
            if theirs in us and ours in us
        ),
        Bar("resume in 35 M samples, s", statistics.median(run["resume_s"] for run in resumes), 0.2),
        Bar("files opened by a resume", max(run["files_opened"] for run in resumes), 0),
        Bar("rank correlation of 35 M samples", abs(shuffles["rank_correlation"]), 0.02),
    ]


class Bench:
    """The words in the forms that all sides read, and runs over them, in one temporary folder."""

    def __init__(self, folder: Path, streaming: list[str], sizes: Sizes) -> None:
        self.folder, self.streaming, self.sizes = folder, streaming, sizes
        self._call("word_sets.py", {"folder": str(folder), "words": sizes.samples, "streaming": streaming})
        self.parseq_width_px = mean_width_px(folder / "png")
        self.labels = ""  # their digest, the same from every side

    def run(self, side: str) -> dict:
        """The figures of one side, as one_stream_run.py names them."""
        return self.run_all([side])[side]

    def run_all(self, sides: Sequence[str]) -> dict[str, dict]:
        """The figures of several sides in one process. Exits if one that reads does not give every word once."""
        task = {
            "sides": sides,
            "sets": str(self.folder),
            "sizes": self.sizes._asdict(),
            "streaming": self.streaming,
            "parseq_width_px": self.parseq_width_px,
        }
        lines = self._call("one_stream_run.py", task).splitlines()[-len(sides) :]
        figures = dict(zip(sides, map(json.loads, lines), strict=True))
        for side in READERS:
            if side in figures:
                self.check(side, figures[side])
        return figures

    def check(self, side: str, figures: dict) -> None:
        wanted = self.sizes.samples
        self.labels = self.labels or figures["labels"]
        if figures["samples"] != wanted or figures["labels"] != self.labels:
            sys.exit(f"{side} gave {figures['samples']:,} samples, not the {wanted:,} words; nothing to compare")

    def _call(self, script: str, task: dict) -> str:
        run = subprocess.run([sys.executable, SIDES / script, json.dumps(task)], capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"{run.stderr}{script}, {', '.join(task.get('sides', ['sets']))}, ended with {run.returncode}")
        return run.stdout


def mean_width_px(shards: Path) -> int:
    """What our images are padded to on average, rounded down to a multiple of 8 px: PARSeq's side gets no more."""
    index = read_index(shards)
    geometry = Geometry(HEIGHT_PX, index.bucket_edges)
    columns = sum(count * geometry.width_px(position) for position, count in enumerate(index.counts.bucket_samples))
    return columns // sum(index.counts.bucket_samples) // 8 * 8


def take_turns(bench: Bench, readers: Sequence[str]) -> dict[str, list[dict]]:
    """Every side once in each round."""
    figures: dict[str, list[dict]] = {side: [] for side in (*readers, "resume")}
    for number in range(bench.sizes.rounds):
        for side, runs in figures.items():
            runs.append(bench.run(side))
        print(f"round {number + 1} of {bench.sizes.rounds}", file=sys.stderr)
    return figures


def smoke(bench: Bench, readers: Sequence[str]) -> tuple[dict[str, list[dict]], dict, dict]:
    """Every side once, all in one process."""
    print(f"left out: {', '.join(side for side in READERS if side not in readers)}")
    seen = bench.run_all([*readers, "resume", "shuffle", "widths"])
    return {side: [seen[side]] for side in (*readers, "resume")}, seen["shuffle"], seen["widths"]


def ratios_of(us: dict[str, float], widths: dict) -> dict[str, float]:
    """What has no bar."""
    pairs = [
        ("stock jpeg", "ours jpeg, fast"),
        ("stock jpeg", "ours jpeg 64 px, fast"),
        *((side, f"ours png, {decoder}") for side in (*MOSAICML, *LITDATA) for decoder in ("pillow", "fast")),
    ]
    return {
        **{f"{theirs} / {ours}": us[theirs] / us[ours] for theirs, ours in pairs if theirs in us and ours in us},
        "step, width of the widest / of a bucket": widths["widest_s"] / widths["bucket_s"],
        "step, width of 99 % / of a bucket": widths["most words_s"] / widths["bucket_s"],
    }


def print_ratios(ratios: dict[str, float]) -> None:
    print(f"\n{'reported':<46}{'':>8}")
    for name, value in ratios.items():
        print(f"{name:<46}{value:>8.2f}")


def print_shuffles(shuffles: dict[str, dict[str, float]]) -> None:
    print(f"\n{'an epoch':<34}{'rank correlation':>18}{'chi-square of letters a batch':>32}")
    print(f"{'':<52}{'of the set':>16}{'of its bucket':>16}")
    for order, seen in shuffles.items():
        letters = f"{seen['letters_of_set']:>16.2f}{seen['letters_of_bucket']:>16.2f}"
        print(f"{order:<34}{seen['rank_correlation']:>18.3f}{letters}")


def record(sizes: Sizes, us: dict, ratios: dict, shuffles: dict, widths: dict) -> dict:
    def rounded(values: dict) -> dict:
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}

    return {
        "samples": sizes.samples,
        "rounds": sizes.rounds,
        "cpu_us_a_sample": {side: round(value, 2) for side, value in us.items()},
        "ratios": rounded(ratios),
        "shuffle": {order: rounded(seen) for order, seen in shuffles["orders"].items()},
        "widths": rounded(widths),
        "mosaicml-streaming": VERSION,
    }


if __name__ == "__main__":
    sys.exit(main())
