"""Many rendered words as a raw folder: images/000/000123.png, and labels.tsv last.

Everything about image i follows from the seed and i: its word, how it is degraded, its bytes. So a picture does not
depend on the number of workers or the number of words.
"""

import itertools
import json
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from horovod_ocr.synth.degrade import Degradation, degrade
from horovod_ocr.synth.lexicon import MAX_LETTERS, URDU_ALPHABET, check_profile, lexicon_words, random_words
from horovod_ocr.synth.render import DEFAULT_FONT, WordRenderer
from sharding.errors import ConfigError
from sharding.format.script.profile import build_profile
from sharding.layouts.folders import SYNTH_SETTINGS
from sharding.system.files import whole_file
from sharding.system.machine import usable_cores

LABELS = "labels.tsv"

_PER_FOLDER = 1000
_PER_TASK = 250
_COMPRESS_LEVEL = 1  # level 6 takes 1.3 times as long for files 6 % smaller; level 0 makes them 1.9 times as large
# streams of random numbers: each use of the seed has its own
_WORDS, _LEXICON, _IMAGES = range(3)

ReportImages = Callable[[int, int], None]
"""Takes the number of images that are done, and of all."""


@dataclass(frozen=True)
class SynthOptions:
    """What to render.

    Raises:
        ConfigError: a value is out of its range.
    """

    words: int
    """The number of images."""
    out: Path
    """The raw folder that is made."""
    seed: int = 0
    """At least 0; words and images follow from it."""
    profile: str = "urdu"
    """The script profile of the words."""
    max_letters: int = 5
    """The longest word."""
    fonts: tuple[Path, ...] = (DEFAULT_FONT,)
    """TrueType or OpenType files; each image uses one, drawn at random."""
    size_px: int = 40
    """Pixels per em."""
    lexicon_share: float = 0.5
    """Part of the images that show words of the lexicon, 0 to 1. The others show random strings of letters."""
    degrade: float = 1.0
    """Strength: 0 is clean, 1 a light scan."""
    workers: int | None = None
    """Processes; None: one for each core that this process may use."""
    overwrite: bool = False
    """Whether to replace what synth wrote there before."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("words", 1, None),
            ("seed", 0, None),
            ("max_letters", 1, MAX_LETTERS),
            ("size_px", 8, 1000),
            ("lexicon_share", 0, 1),
            ("degrade", 0, 3),
            ("workers", 1, None),
        ):
            value = getattr(self, name)
            if value is not None and (value < least or (most is not None and value > most)):
                bounds = f"at least {least}" if most is None else f"from {least} to {most}"
                raise ConfigError(f"synth: {name} is {value}; it must be {bounds}")
        if not self.fonts:
            raise ConfigError("synth: no font; name a .ttf or .otf file, or leave the option out")


@dataclass(frozen=True)
class SynthReport:
    """What was rendered."""

    out: Path
    """The raw folder."""
    images: int
    """How many there are in all."""
    lexicon_images: int
    """Images of words of the lexicon."""
    random_images: int
    """Images of random strings of letters."""
    seconds: float
    """How long it took, from the first check until labels.tsv was written."""
    letters: dict[str, int]
    """How often each letter was drawn, the most frequent first."""

    @property
    def images_per_s(self) -> float:
        return self.images / self.seconds


def synthesize(options: SynthOptions, progress: ReportImages | None = None) -> SynthReport:
    """Render the words into `options.out`, and report the progress now and then.

    labels.tsv (path, label, subset: lexicon or random) is written last, so a folder that has one is complete. A script
    that calls this with several workers needs the usual `if __name__ == "__main__":`.

    Raises:
        ConfigError: the folder holds other files, or words that may not be overwritten.
        LabelError: a font lacks a letter.
    """
    started = time.perf_counter()
    check_profile(build_profile(options.profile))
    _check_fonts(options)
    out = Path(options.out)
    _check_folder(out, options.overwrite)
    words = draw_words(options)
    _take_folder(out, options, len(words))
    for done in itertools.accumulate(_render_all(options, words)):
        if progress is not None:
            progress(done, len(words))
    _write_labels(out, words)
    letters: Counter[str] = Counter()
    for word, _ in words:
        letters.update(word)
    lexicon = sum(subset == "lexicon" for _, subset in words)
    seconds = time.perf_counter() - started
    return SynthReport(out, len(words), lexicon, len(words) - lexicon, seconds, dict(letters.most_common()))


def draw_words(options: SynthOptions) -> list[tuple[str, str]]:
    """(word, subset) of every image, in order.

    Lexicon and random words alternate in the share that the options say. The lexicon is repeated in a new order each
    time; random words never repeat.
    """
    lexicon = lexicon_words(build_profile(options.profile), options.max_letters)
    before = [int(i * options.lexicon_share + 1e-9) for i in range(options.words + 1)]  # lexicon words before image i
    rng = np.random.default_rng([options.seed, _WORDS])
    fresh = random_words(rng, options.words - before[-1], max_letters=options.max_letters, exclude=lexicon)
    from_lexicon, from_fresh = _rounds(lexicon, options.seed), iter(fresh)
    return [
        (next(from_lexicon), "lexicon") if after > so_far else (next(from_fresh), "random")
        for so_far, after in itertools.pairwise(before)
    ]


def _rounds(words: list[str], seed: int) -> Iterator[str]:
    """All words in a random order, then all in another one, and so on without end."""
    for turn in itertools.count():
        for i in np.random.default_rng([seed, _LEXICON, turn]).permutation(len(words)):
            yield words[i]


def image_path(number: int) -> str:
    """The path of image `number`, relative to the raw folder."""
    return f"images/{number // _PER_FOLDER:03d}/{number:06d}.png"


def _check_fonts(options: SynthOptions) -> None:
    """Check that every font has every letter, before a million images are drawn.

    Raises:
        LabelError: a letter is missing.
    """
    for font in options.fonts:
        renderer = WordRenderer(font, options.size_px)
        for letter in URDU_ALPHABET:
            renderer.render(letter)


def _render_all(options: SynthOptions, words: list[tuple[str, str]]) -> Iterator[int]:
    """Render all images, and yield the number of images of each finished task."""
    tasks = [
        (first, [word for word, _ in words[first : first + _PER_TASK]]) for first in range(0, len(words), _PER_TASK)
    ]
    workers = min(len(tasks), options.workers or usable_cores())
    if workers == 1:
        yield from map(ImageWriter(options).write, tasks)
        return
    # spawn, because a fork would break if the caller has threads or Horovod
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(options,)
    )
    try:
        yield from pool.map(_write_in_worker, tasks)
    finally:
        pool.shutdown(cancel_futures=True)


class ImageWriter:
    """Draws and writes the images of one set of options."""

    def __init__(self, options: SynthOptions) -> None:
        self._out = Path(options.out)
        self._seed = options.seed
        self._renderers = [WordRenderer(font, options.size_px) for font in options.fonts]
        self._limits = Degradation.of_strength(options.degrade) if options.degrade else None

    def draw(self, number: int, word: str) -> np.ndarray:
        """The picture of image `number`, uint8 (H, W)."""
        rng = np.random.default_rng([self._seed, _IMAGES, number])
        image = self._renderers[rng.integers(len(self._renderers))].render(word)
        return image if self._limits is None else degrade(image, rng, self._limits)

    def write(self, task: tuple[int, list[str]]) -> int:
        """Write the images of consecutive words; return how many.

        task: the number of the first image, and the words.
        """
        first, words = task
        for number, word in enumerate(words, first):
            image = Image.fromarray(self.draw(number, word))
            image.save(self._out / image_path(number), "PNG", compress_level=_COMPRESS_LEVEL)
        return len(words)


_writer: ImageWriter  # of this worker process


def _start_worker(options: SynthOptions) -> None:
    global _writer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    _writer = ImageWriter(options)


def _write_in_worker(task: tuple[int, list[str]]) -> int:
    return _writer.write(task)


def _write_labels(out: Path, words: list[tuple[str, str]]) -> None:
    rows = (f"{image_path(i)}\t{word}\t{subset}\n" for i, (word, subset) in enumerate(words))
    with whole_file(out / LABELS) as file:
        file.write(b"path\tlabel\tsubset\n")
        file.writelines(row.encode() for row in rows)


def _check_folder(out: Path, overwrite: bool) -> None:
    """Raises ConfigError unless `out` is new or empty or, to overwrite, one that synth wrote."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; name a folder with --out")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / SYNTH_SETTINGS).exists():
        raise ConfigError(f"{out} holds files that synth did not write; name another folder with --out")
    if not overwrite:
        state = "rendered words" if (out / LABELS).exists() else "an unfinished run of synth"
        raise ConfigError(f"{out} holds {state} already; replace them with --overwrite, or name another --out")


def _take_folder(out: Path, options: SynthOptions, images: int) -> None:
    """Mark `out` as ours, remove the images of an earlier run, and make the folders of this one."""
    _remove_images(out)
    out.mkdir(parents=True, exist_ok=True)
    settings = {name: value for name, value in vars(options).items() if name not in ("out", "workers", "overwrite")}
    settings["fonts"] = [Path(font).name for font in options.fonts]
    (out / SYNTH_SETTINGS).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    for first in range(0, images, _PER_FOLDER):
        (out / image_path(first)).parent.mkdir(parents=True, exist_ok=True)


def _remove_images(out: Path) -> None:
    """Remove only what synth wrote: labels.tsv first, so that a label is never there without its image."""
    (out / LABELS).unlink(missing_ok=True)
    for folder in sorted((out / "images").glob("*")):
        if not folder.name.isdigit() or not folder.is_dir():
            continue
        for file in folder.glob("*.png"):
            if file.stem.isdigit() and image_path(int(file.stem)) == f"images/{folder.name}/{file.name}":
                file.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
