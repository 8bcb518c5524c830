"""A source that takes a while, its set as a quiet build makes it, builds in processes of their own; three hosts."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from horovod_ocr.synth.generate import SynthOptions, synthesize
from sharding.build import ShardOptions, build_shards
from tests.hosts.conftest import bed, running_bed  # noqa: F401

ROOT = Path(__file__).parents[2]
IMAGES, SAMPLES_PER_SHARD = 1500, 25
# Small ranges: many spool files. The program tells its progress line by line, slowly enough to be caught at it.
COMMAND = f"""
import sys, time
from pathlib import Path
from sharding.reading import intake
from sharding.build import ShardOptions, build_shards
intake._FEWEST_ENTRIES = 1
src, out = map(Path, sys.argv[1:])
options = ShardOptions.of(src=src, out=out, workers=2, samples_per_shard={SAMPLES_PER_SHARD})
def tell(progress):
    print(progress.stage, progress.done, flush=True)
    time.sleep(0.01)
build_shards(options, tell)
"""


@pytest.fixture(scope="session")
def raw(tmp_path_factory) -> Path:
    """No test changes it."""
    folder = tmp_path_factory.mktemp("raw")
    lines = []
    for number in range(IMAGES):
        image = Image.new("L", (64 + number % 3 * 40, 64), number % 256)
        image.putpixel((0, 0), number // 256)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        (folder / f"{number:04d}.png").write_bytes(buffer.getvalue())
        lines.append(f"{number:04d}.png\t{'ابپتٹ'[number % 5]}{'رزسش'[number % 4]}{'ن' * (number % 3)}\n")
    (folder / "labels.tsv").write_text("".join(lines), encoding="utf-8")
    return folder


def bytes_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.is_file()}


@pytest.fixture(scope="session")
def few_words(tmp_path_factory) -> Path:
    """A shard set of 150 rendered words."""
    folder = tmp_path_factory.mktemp("few")
    synthesize(SynthOptions(words=150, out=folder / "raw", seed=5, workers=1))
    build_shards(ShardOptions.of(src=folder / "raw", out=folder / "shards", samples_per_shard=20, workers=1))
    return folder / "shards"


@pytest.fixture(scope="session")
def set_bytes() -> Callable[[Path], dict[str, bytes]]:
    """Every file of a set; not the folder build/, which speaks of this machine."""
    return bytes_of


@pytest.fixture(scope="session")
def quiet(raw: Path, tmp_path_factory) -> dict[str, bytes]:
    """The set as a build makes it that nothing disturbs."""
    out = tmp_path_factory.mktemp("quiet")
    build_shards(ShardOptions.of(src=raw, out=out, workers=1, samples_per_shard=SAMPLES_PER_SHARD))
    return bytes_of(out)


@pytest.fixture
def start(raw: Path):
    """start(out) -> a build of two workers, with its progress on stdout. What still runs at the end is killed."""
    started: list[subprocess.Popen] = []

    def start_build(out: Path) -> subprocess.Popen:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", COMMAND, str(raw), str(out)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                start_new_session=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start_build
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
