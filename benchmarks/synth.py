"""Drawing a word: HarfBuzz and kept FreeType glyphs against Pillow with raqm, same font, same words, same ink.

    python benchmarks/synth.py [--words 500] [--rounds 5]
    python benchmarks/synth.py --smoke      # the whole path in seconds

The sides take turns in one process, a block of words at a time (with single words, each side would find the memory
caches full of the other's data). Figures are medians over all words and rounds, with warm glyphs.
The exit code is 1 unless WordRenderer is 20 times as fast as the faster of Pillow's two ways, at a mean absolute
difference of at most 1 of 255 grey levels.
"""

import io
import sys
import time

import freetype
import numpy as np
from PIL import Image, ImageDraw, ImageFont, features
from sides.bars import Bar, end, parser_of, print_bars

from horovod_ocr.synth.degrade import Degradation, degrade
from horovod_ocr.synth.lexicon import lexicon_words, random_words
from horovod_ocr.synth.render import DEFAULT_FONT, WordRenderer
from sharding.format.script.profile import build_profile

SIZE_PX = 40
BLOCK = 50  # words
SPEED_BAR = 20.0
INK_BAR = 1.0


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--words", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.smoke:
        options.words, options.rounds = 20, 1
    if not features.check("raqm"):
        print("this Pillow has no raqm and cannot join Urdu letters: nothing to compare with", file=sys.stderr)
        return 1
    words = choose_words(options.words)
    font = ImageFont.truetype(str(DEFAULT_FONT), SIZE_PX, layout_engine=ImageFont.Layout.RAQM)
    renderer = WordRenderer(DEFAULT_FONT, SIZE_PX, margin=0)
    figures = measure(words, font, renderer, options.rounds)
    print_table(figures)
    bars = [
        Bar("times as fast", figures["speedup"], SPEED_BAR, at_most=False),
        Bar("difference of the ink, grey levels", figures["ink_difference"], INK_BAR),
    ]
    print_bars(bars, options)
    libraries = {"raqm": features.version("raqm"), "libfreetype": ".".join(map(str, freetype.version()))}
    return end("synth", figures | libraries, bars, ("pillow", "uharfbuzz", "freetype-py", "numpy"), options)


def choose_words(n: int) -> list[str]:
    """Half of them evenly from the lexicon, which is sorted by frequency; half random."""
    lexicon = lexicon_words(build_profile("urdu"))
    even = np.linspace(0, len(lexicon) - 1, n - n // 2).astype(int)
    return [lexicon[i] for i in even] + random_words(np.random.default_rng(0), n // 2, exclude=lexicon)


def measure(words: list[str], font: ImageFont.FreeTypeFont, renderer: WordRenderer, rounds: int) -> dict:
    """Medians in microseconds per word, and how far the pictures of both sides differ."""
    rng = np.random.default_rng(0)
    light = Degradation()
    ways = {
        "ours": renderer.render,
        "pillow_draw": lambda word: draw_with_pillow(font, word),
        "pillow_mask": lambda word: np.asarray(font.getmask2(word, "L", direction="rtl", language="ur")[0]),
        "degrade": lambda word: degrade(pictures[word], rng, light),
        "png": lambda word: encode(degraded[word]),
    }
    pictures = {word: renderer.render(word) for word in words}
    degraded = {word: degrade(pictures[word], rng, light) for word in words}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for first in range(0, len(words), BLOCK):
            for way, draw in ways.items():
                for word in words[first : first + BLOCK]:
                    start = time.perf_counter()
                    draw(word)
                    taken[way].append(time.perf_counter() - start)
    us = {f"{way}_us": round(float(np.median(times)) * 1e6, 1) for way, times in taken.items()}
    differences = [ink_difference(pictures[word], draw_with_pillow(font, word)) for word in words]
    return {
        **us,
        "speedup": round(min(us["pillow_draw_us"], us["pillow_mask_us"]) / us["ours_us"], 1),
        "ink_difference": round(float(np.mean(differences)), 4),
        "ink_difference_worst_word": round(float(np.max(differences)), 4),
        "words": len(words),
        "rounds": rounds,
    }


def draw_with_pillow(font: ImageFont.FreeTypeFont, word: str) -> np.ndarray:
    """The word as ImageDraw draws it on a large canvas, cropped to its ink, uint8 (H, W)."""
    image = Image.new("L", (10 * SIZE_PX, 6 * SIZE_PX), 0)
    ImageDraw.Draw(image).text((2 * SIZE_PX, SIZE_PX), word, font=font, fill=255, direction="rtl", language="ur")
    return 255 - np.asarray(image.crop(image.getbbox()))


def encode(image: np.ndarray) -> bytes:
    target = io.BytesIO()
    Image.fromarray(image).save(target, "PNG", compress_level=1)
    return target.getvalue()


def ink_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference in grey levels, at the best offset of up to one pixel in each direction.

    By rounding, a glyph at the edge may begin at another pixel, which moves the whole box.
    """
    height, width = np.maximum(one.shape, other.shape) + 2
    fixed = on_canvas(one, height, width, 1, 1)
    return min(
        float(np.abs(fixed - on_canvas(other, height, width, y, x)).mean())
        for y in range(height - other.shape[0] + 1)
        for x in range(width - other.shape[1] + 1)
    )


def on_canvas(image: np.ndarray, height: int, width: int, y: int, x: int) -> np.ndarray:
    """A white canvas with the image at (y, x)."""
    canvas = np.full((height, width), 255, np.int16)
    canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
    return canvas


def print_table(figures: dict) -> None:
    rows = (
        ("WordRenderer", "ours_us"),
        ("Pillow + raqm, ImageDraw.text", "pillow_draw_us"),
        ("Pillow + raqm, font.getmask2", "pillow_mask_us"),
        ("degrade (light scan)", "degrade_us"),
        ("PNG, level 1", "png_us"),
    )
    print(f"{'a word, median of ' + str(figures['words']) + ' words x ' + str(figures['rounds']):40}      us  x ours")
    for name, key in rows:
        print(f"{name:40} {figures[key]:7.1f} {figures[key] / figures['ours_us']:7.1f}")
    print(f"ink: mean absolute difference {figures['ink_difference']:.3f} of 255, worst word ", end="")
    print(f"{figures['ink_difference_worst_word']:.3f}")


if __name__ == "__main__":
    sys.exit(main())
