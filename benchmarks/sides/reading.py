"""How fast an export reads on one core, beside its checkpoint on torch and beside Tesseract."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from horovod_ocr.checkpoint.file import load_best_of
from horovod_ocr.data.splits import unseen_split
from horovod_ocr.export.torch_network import build_recognizer
from horovod_ocr.recognizer import Recognizer
from sharding.format.idx import read_idx, read_sample, record_of
from sharding.format.index import read_index

BATCH = 64
TURN = 10  # images that a side reads in one turn
BORDER_PX = 10  # around a word, for Tesseract, which reads little of words that touch the edge

IMPORT_AND_READ = """
import time
began = time.perf_counter()
from horovod_ocr.recognizer import Recognizer
Recognizer.load({export!r}).read({image!r})
taken = time.perf_counter() - began
import sys
print(taken, "torch" in sys.modules)
"""


class Word(NamedTuple):
    """A sample of a shard set."""

    image: bytes
    """Of its file."""
    label: str
    """Normalised."""


def words_of(shards: Path, count: int) -> list[Word]:
    """Up to so many samples of the split that no training has seen, drawn at random: a shard holds one width only."""
    index = read_index(shards)
    words: list[Word] = []
    for shard in index.of(unseen_split(index) or "train"):
        records = read_idx(index.idx_path(shard))
        with index.tar_path(shard).open("rb") as tar:
            for row in range(shard.samples):
                image, label = read_sample(tar, record_of(records, row))
                words.append(Word(image, label.decode()))
    chosen = np.random.default_rng(0).permutation(len(words))[:count]
    return [words[number] for number in chosen]


def on_one_core() -> None:
    """This process and its threads, from now on. The last core: the first one serves interrupts."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)


def in_turns(sides: dict[str, Callable[[int], object]], count: int, rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each call, by side. The sides take turns, a few calls each; a call gets its number."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for first in range(0, count, TURN):
            for name, call in sides.items():
                for number in range(first, min(first + TURN, count)):
                    began = time.perf_counter()
                    call(number)
                    taken[name].append(time.perf_counter() - began)
    return {name: np.array(each) for name, each in taken.items()}


def time_reading(run: Path, words: list[Word], rounds: int) -> dict[str, float]:
    """Milliseconds an image: from its bytes to its text, one by one and by batches of 64, and of the model alone."""
    export, checkpoint = run / "export", build_recognizer(load_best_of(run), "fp32")
    readers = {name: Recognizer.load(export, name) for name in ("int8", "fp32")}
    images = [word.image for word in words]
    ready = [checkpoint.prepare(image).pixels_HWC[None] for image in images]
    networks = {"torch": checkpoint.network, **{name: each.network for name, each in readers.items()}}
    for network in networks.values():
        for pixels in ready[:TURN]:
            network.logits(pixels)
    whole = {}
    for name, reader in readers.items():  # not in turns: each by itself, as it is used
        whole |= in_turns({name: lambda i, r=reader: r.read(images[i])}, len(images), rounds)
    alone = in_turns({n: lambda i, w=w: w.logits(ready[i]) for n, w in networks.items()}, len(images), rounds)
    starts = range(0, len(images) - BATCH + 1, BATCH)
    together = in_turns(
        {n: lambda i, r=r: r.read(images[i * BATCH : (i + 1) * BATCH]) for n, r in readers.items()}, len(starts), rounds
    )
    figures = {}
    for name, taken in whole.items():
        figures[f"{name}_p50_ms"], figures[f"{name}_p99_ms"] = (np.percentile(taken, each) * 1e3 for each in (50, 99))
        figures[f"{name}_mean_ms"] = taken.mean() * 1e3
    figures |= {f"{name}_model_ms": float(np.median(taken)) * 1e3 for name, taken in alone.items()}
    figures |= {f"{name}_batch_ms": float(np.median(taken)) / BATCH * 1e3 for name, taken in together.items()}
    return {name: round(float(value), 4) for name, value in figures.items()}


def time_first_reading(export: Path, word: Word, rounds: int) -> tuple[float, bool]:
    """Seconds from the import of the recogniser to the first reading, in processes of their own: the median; and
    whether any of them imported torch."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "word"
        image.write_bytes(word.image)
        program = IMPORT_AND_READ.format(export=str(export), image=str(image))
        said = [
            subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
            for _ in range(rounds)
        ]
    return statistics.median(float(seconds) for seconds, _ in said), any(torch == "True" for _, torch in said)


def compare_with_tesseract(run: Path, words: list[Word], language: str) -> dict[str, float]:
    """Seconds and right readings of both on the same words, from files. Tesseract reads all in one process (--psm 8, a
    white border); its start is taken off by a run over one word."""
    recognizer = Recognizer.load(run / "export")
    normalise = recognizer.reader.charset.profile.normalise
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number:05d}.png" for number in range(len(words))]
        for word, path in zip(words, paths, strict=True):
            path.write_bytes(word.image)
            bordered = ImageOps.expand(Image.open(path).convert("L"), BORDER_PX, 255)
            bordered.save(path.with_suffix(".bordered.png"))
        began = time.perf_counter()
        ours = [recognizer.read(path)[0].text for path in paths]
        ours_s = time.perf_counter() - began
        bordered = [path.with_suffix(".bordered.png") for path in paths]
        start_s, _ = tesseract(bordered[:1], language, Path(folder))
        all_s, theirs = tesseract(bordered, language, Path(folder))
    labels = [word.label for word in words]
    return {
        "ours_ms": round(ours_s / len(words) * 1e3, 3),
        "tesseract_ms": round((all_s - start_s) / max(1, len(words) - 1) * 1e3, 3),
        "ours_right": sum(map(str.__eq__, ours, labels)) / len(labels),
        "tesseract_right": sum(normalise(text) == label for text, label in zip(theirs, labels, strict=True))
        / len(labels),
    }


def tesseract(paths: list[Path], language: str, folder: Path) -> tuple[float, list[str]]:
    """Seconds of one process, and the texts."""
    names = folder / "names.txt"
    names.write_text("".join(f"{path}\n" for path in paths))
    command = ["tesseract", str(names), "-", "-l", language, "--psm", "8"]
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    began = time.perf_counter()
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return time.perf_counter() - began, [page.strip() for page in said.split("\f")[: len(paths)]]
