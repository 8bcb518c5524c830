"""A trained model as a reader of images, on numpy and onnxruntime alone.

A reading depends on its own image alone: an image is padded to the width of its bucket, whatever is read beside it, and
no step of the model mixes images.

Shapes: N images, H height, W width, C channels, T frames.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import ExportError, OcrError
from horovod_ocr.recognizer.images import KINDS, LIMITS, AnyImage, ReadyImage, box_of_columns, ink_of, prepare_image
from horovod_ocr.recognizer.network import Network, OnnxNetwork
from horovod_ocr.recognizer.package import Package, read_package
from horovod_ocr.tasks.readers import AnyReading, Reader, reader_from_dict
from horovod_ocr.text.decode import Letter
from sharding.images.limits import Limits

MOST_TOGETHER = 16  # images of one run of the model: with more, what it computes no longer stays in a core's cache


@dataclass(frozen=True)
class Recognizer:
    """Reads images. Several threads may use one at once."""

    network: Network
    """Pixels to scores."""
    reader: Reader
    """Scores to readings."""
    geometry: Geometry
    """The height and the widths that the model was trained with."""
    frame_px: int | None
    """Columns of a frame; None: the model reads an image as a whole."""
    about: dict[str, Any]
    """What recognizer.json says; empty if this was not exported."""

    @classmethod
    def load(cls, path: str | Path, precision: str = "auto") -> "Recognizer":
        """Of `horovod-ocr export`: its folder, or its zip.

        precision: fp32, int8, or auto: int8 if the export has it. Raises ExportError with what to do.
        """
        return recognizer_of(read_package(Path(path), precision))

    def read(self, images: AnyImage | Iterable[AnyImage], limits: Limits = LIMITS) -> list[AnyReading]:
        """Readings in the order of the images, each with text, confidence and letters.

        images: paths, bytes, pictures of Pillow, or uint8 arrays (H, W) or (H, W, 3); several, or one. SourceError for
        one that cannot be read; to go on with the others, `prepare` each and `read_ready` them.
        """
        several: list[AnyImage] = [images] if isinstance(images, KINDS) else list(images)
        return self.read_ready([self.prepare(image, limits, f"image {n}") for n, image in enumerate(several)])

    def prepare(self, image: AnyImage, limits: Limits = LIMITS, name: str = "") -> ReadyImage:
        """An image ready for the model. SourceError if it cannot be read. name: what the sentence calls it, unless it
        is a path."""
        return prepare_image(image, self.geometry, limits, name)

    def read_ready(self, images: Sequence[ReadyImage], letters: bool = True) -> list[AnyReading]:
        """Images to readings in their order. letters: look for the place of each letter too."""
        readings: dict[int, AnyReading] = {}
        for width in sorted({image.pixels_HWC.shape[1] for image in images}):
            numbers = [number for number, image in enumerate(images) if image.pixels_HWC.shape[1] == width]
            for first in range(0, len(numbers), MOST_TOGETHER):
                some = numbers[first : first + MOST_TOGETHER]
                read = self.read_width([images[number] for number in some], letters)
                readings.update(zip(some, read, strict=True))
        return [readings[number] for number in range(len(images))]

    def read_width(self, images: Sequence[ReadyImage], letters: bool = True) -> list[AnyReading]:
        """The same for images of one width, in one run of the model."""
        logits = self.network.logits(np.stack([image.pixels_HWC for image in images]))
        frames_N = None
        if self.frame_px:
            frames_N = np.array([-(-image.valid_width_px // self.frame_px) for image in images])
        readings = list(self.reader.read(logits, frames_N))
        if frames_N is None or not letters:
            return readings
        return [
            self.locate(reading, logits[: frames_N[number], number], images[number])
            for number, reading in enumerate(readings)
        ]

    def locate(self, reading: AnyReading, logits_TC: np.ndarray, image: ReadyImage) -> AnyReading:
        """The reading with the place of each of its letters. logits_TC: of the image, without padding."""
        spans = self.reader.letters(reading, logits_TC)
        if not spans:
            return reading
        assert self.frame_px
        ink_HW = ink_of(image)
        across, down = image.size_px[0] / ink_HW.shape[1], image.size_px[1] / ink_HW.shape[0]
        letters = []
        for span in spans:
            left, top, right, bottom = box_of_columns(ink_HW, span.start * self.frame_px, span.stop * self.frame_px)
            letters.append(
                Letter(span.text, span.confidence, (left * across, top * down, right * across, bottom * down))
            )
        return reading.with_letters(tuple(letters))


def recognizer_of(package: Package) -> Recognizer:
    """Of what was read of an export. ExportError if it does not hold what it should."""
    about = package.about
    try:
        reader = reader_from_dict(about["task"]).at(float(about["confidence"]["temperature"]))
        geometry = Geometry.from_dict(about["geometry"])
        frame_px = about["frame_px"]
        network = OnnxNetwork(package.model)
    except (LookupError, TypeError, ValueError, AttributeError, OcrError) as error:
        raise ExportError(f"{package.path}: recognizer.json does not hold what it should ({error})") from error
    except ModuleNotFoundError:
        raise
    except Exception as error:  # onnxruntime has its own tree
        raise ExportError(f"{package.path}: onnxruntime cannot read its {package.precision} model ({error})") from error
    return Recognizer(network, reader, geometry, frame_px, about)
