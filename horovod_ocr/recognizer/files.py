"""Many images read one after another, in chunks, by this process or by several."""

from collections.abc import Iterable, Iterator
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from horovod_ocr.errors import SourceError
from horovod_ocr.recognizer.images import ReadyImage
from horovod_ocr.recognizer.recognizer import Recognizer
from horovod_ocr.recognizer.sources import Image
from horovod_ocr.tasks.readers import AnyReading
from sharding.system.workers import killed_workers_named, open_workers

CHUNK = 64  # images that are prepared before any of them is read, so that those of one width meet


class Read(NamedTuple):
    """What became of one image."""

    name: str
    """As in `Image`."""
    reading: AnyReading | SourceError
    """What was read, or why nothing was."""


def read_images(
    recognizer: Recognizer,
    images: Iterable[Image],
    letters: bool = False,
    jobs: int = 1,
    export: tuple[Path, str] | None = None,
) -> Iterator[Read]:
    """Each image with its reading, in the order given; one that cannot be read stops no other.

    letters: look for the place of each letter. jobs: processes that read; several need the export that the recogniser
    was loaded from, as path and precision, of which each loads its own copy.
    """
    if jobs == 1 or export is None:
        for chunk in chunks_of(images):
            yield from read_chunk(recognizer, letters, chunk)
        return
    with killed_workers_named("predict", by="--jobs"), open_workers(jobs) as workers:
        for read in workers.run(partial(_read_by_worker, *export, letters), chunks_of(images)):
            yield from read


def chunks_of(images: Iterable[Image]) -> Iterator[tuple[Image, ...]]:
    """CHUNK images each, the last one with what is left."""
    rest = iter(images)
    while chunk := tuple(islice(rest, CHUNK)):
        yield chunk


def read_chunk(recognizer: Recognizer, letters: bool, images: tuple[Image, ...]) -> list[Read]:
    """Some images with their readings."""
    prepared: list[ReadyImage | SourceError] = []
    for image in images:
        try:
            if isinstance(image.content, SourceError):
                raise image.content
            prepared.append(recognizer.prepare(image.content, name=image.name))
        except SourceError as error:
            prepared.append(error)
    ready = [each for each in prepared if not isinstance(each, SourceError)]
    readings = iter(recognizer.read_ready(ready, letters))
    return [
        Read(image.name, each if isinstance(each, SourceError) else next(readings))
        for image, each in zip(images, prepared, strict=True)
    ]


def _read_by_worker(path: Path, precision: str, letters: bool, images: tuple[Image, ...]) -> list[Read]:
    return read_chunk(_loaded(path, precision), letters, images)


@cache
def _loaded(path: Path, precision: str) -> Recognizer:
    return Recognizer.load(path, precision)
