"""An image to the JSON of its answer, as the threads of the batcher compute it."""

import struct
import time
from collections.abc import Sequence

import numpy as np

from horovod_ocr.errors import SourceError
from horovod_ocr.recognizer.images import ReadyImage
from horovod_ocr.recognizer.recognizer import Recognizer
from horovod_ocr.serve.batcher import Job
from horovod_ocr.serve.failures import as_json, failure_of
from sharding.images.limits import Limits
from sharding.images.png import PNG_MAGIC

MOST_ALTERNATIVES = 10
LARGE_PX = 1_000_000  # takes some 10 ms to decode
PX_PER_BYTE = 16  # of a JPEG, roughly: its pixels are known only when its segments were read
_SIZE = struct.Struct(">II").unpack_from  # of a PNG, at byte 16


class ImageWork:
    """What `Batcher` asks for, with a recogniser."""

    def __init__(self, recognizer: Recognizer, max_pixels: int) -> None:
        self._recognizer = recognizer
        self._limits = Limits(max_pixels=max_pixels)

    def prepare(self, content: bytes) -> ReadyImage:
        """Decode a file. Raises ApiError."""
        try:
            return self._recognizer.prepare(content, self._limits, "the image")
        except SourceError as error:
            failure = failure_of(error)
        # Not chained: the error holds the variables of what it came through, the image too, and makes a circle with who
        # awaits it. Until the garbage is collected, some refused images of megabytes would fill the memory.
        raise failure

    def is_large(self, content: bytes) -> bool:
        """Whether it takes long to decode. Too many pixels are refused before that, so those take no time."""
        if content.startswith(PNG_MAGIC) and len(content) >= 24:
            width, height = _SIZE(content, 16)
            return bool(LARGE_PX < width * height <= self._limits.max_pixels)
        return len(content) * PX_PER_BYTE > LARGE_PX

    def read(self, jobs: Sequence[Job]) -> list[bytes]:
        """Answers to jobs of one width."""
        recognizer = self._recognizer
        images = [job.image for job in jobs if job.image]
        logits = recognizer.network.logits(np.stack([image.pixels_HWC for image in images]))
        frames_N = None
        if recognizer.frame_px:
            frames_N = np.array([-(-image.valid_width_px // recognizer.frame_px) for image in images])
        readings = recognizer.reader.read(logits, frames_N)
        answers = []
        for number, (job, image, reading) in enumerate(zip(jobs, images, readings, strict=True)):
            described = recognizer.reader.describe(reading)
            if frames_N is not None:
                logits_TC = logits[: frames_N[number], number]
                if job.wants.letters:
                    located = recognizer.locate(reading, logits_TC, image)
                    described["letters"] = [letter.to_dict() for letter in located.letters]
                if job.wants.alternatives:
                    others = recognizer.reader.alternatives(reading, logits_TC, job.wants.alternatives)
                    described["alternatives"] = [recognizer.reader.describe(other) for other in others]
            described["width"], described["height"] = image.size_px
            described["ms"] = round((time.perf_counter() - job.arrived_s) * 1000, 2)
            answers.append(as_json(described))
        return answers
