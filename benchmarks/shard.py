"""Sharding against webdataset.ShardWriter: CPU seconds, both sides interleaved in one process, medians.

    python benchmarks/shard.py [--images 5000] [--rounds 3]

Two pairs, each on the same images and labels, with one worker:
    none   ShardWriter as its documentation uses it, no checks: against `check="header"`, which also normalises every
    label, reads
           every size, splits, shuffles, writes .idx and index.json, and fsyncs
    full   the same ShardWriter loop with a full Pillow decode of every image: against `check="full"`
Bars: at most MOST_NONE and MOST_FULL of the other side's CPU. Exits 1 where one does not hold.
"""

import argparse
import io
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import webdataset
from PIL import Image, ImageDraw

from sharding.build import ShardOptions, build_shards
from sharding.script import build_profile

MOST_NONE = 1.0
MOST_FULL = 1.0
SAMPLES_PER_SHARD = 1000


def make_source(folder: Path, images: int) -> None:
    """Grey PNGs of strokes, 64 px high and 48 to 200 px wide, 1 to 4 KB, with random Urdu labels of 2 to 5 letters."""
    generator = random.Random(0)
    letters = [letter for letter in build_profile("urdu").letters if letter.isalpha()]
    lines = []
    for number in range(images):
        width = generator.randint(48, 200)
        image = Image.new("L", (width, 64), 255)
        pen = ImageDraw.Draw(image)
        for _ in range(6):
            points = [(generator.randint(0, width), generator.randint(0, 64)) for _ in range(4)]
            pen.line(points, fill=generator.randint(0, 80), width=3)
        noisy = Image.blend(image, Image.effect_noise((width, 64), 20), 0.05)
        noisy.save(folder / f"{number:06d}.png")
        lines.append(f"{number:06d}.png\t{''.join(generator.choices(letters, k=generator.randint(2, 5)))}\n")
    (folder / "labels.tsv").write_text("".join(lines), encoding="utf-8")


def write_naively(src: Path, out: Path, decode: bool) -> int:
    """ShardWriter over the label file, in its order. Returns the samples written."""
    out.mkdir()
    written = 0
    with webdataset.ShardWriter(str(out / "train-%06d.tar"), maxcount=SAMPLES_PER_SHARD, verbose=0) as sink:
        for line in (src / "labels.tsv").read_text(encoding="utf-8").splitlines():
            name, label = line.split("\t")
            content = (src / name).read_bytes()
            if decode:
                Image.open(io.BytesIO(content)).load()
            sink.write({"__key__": f"{written:09d}", "png": content, "txt": label})
            written += 1
    return written


def shard(src: Path, out: Path, check: str) -> int:
    """This project's build, one worker. Returns the samples written."""
    report = build_shards(
        ShardOptions(src=src, out=out, profile="urdu", samples_per_shard=SAMPLES_PER_SHARD, workers=1, check=check)
    )
    return sum(report.samples.values())


def cpu_seconds(work: Callable[[], int], images: int) -> float:
    before = time.process_time()
    written = work()
    spent = time.process_time() - before
    if written != images:
        sys.exit(f"{written} of {images} samples were written: the sides did not do the same work")
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    spent: dict[str, list[float]] = {name: [] for name in ("naive", "header", "naive decoding", "full")}
    with tempfile.TemporaryDirectory() as folder:
        src = Path(folder, "raw")
        src.mkdir()
        make_source(src, options.images)
        for number in range(options.rounds + 1):  # the first round only warms up
            outs = {name: Path(folder, f"{name} {number}") for name in spent}
            sides = {
                "naive": lambda outs=outs: write_naively(src, outs["naive"], decode=False),
                "header": lambda outs=outs: shard(src, outs["header"], "header"),
                "naive decoding": lambda outs=outs: write_naively(src, outs["naive decoding"], decode=True),
                "full": lambda outs=outs: shard(src, outs["full"], "full"),
            }
            for name, work in sides.items():
                seconds = cpu_seconds(work, options.images)
                if number:
                    spent[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in spent.items()}
    ratios = {"none": medians["header"] / medians["naive"], "full": medians["full"] / medians["naive decoding"]}
    bars = {"none": MOST_NONE, "full": MOST_FULL}
    print(f"{options.images:,} images, medians of {options.rounds}, {os.cpu_count()} cores, one used")
    print(f"{'side':<16}{'CPU s':>8}{'us an image':>14}")
    for name, seconds in medians.items():
        print(f"{name:<16}{seconds:>8.2f}{1e6 * seconds / options.images:>14.0f}")
    for pair, ratio in ratios.items():
        verdict = "holds" if ratio <= bars[pair] else "MISSED"
        print(f"{pair}: {ratio:.2f} x the CPU of ShardWriter, bar {bars[pair]:.2f}: {verdict}")
    figures = {name.replace(" ", "_") + "_cpu_s": round(value, 3) for name, value in medians.items()}
    print(
        json.dumps(
            {"images": options.images, **figures, **{f"{pair}_ratio": round(r, 3) for pair, r in ratios.items()}}
        )
    )
    sys.exit(any(ratios[pair] > bars[pair] for pair in bars))


if __name__ == "__main__":
    main()
