"""A trained model as a reader of images, on numpy and onnxruntime alone.

A reading depends on its own image alone: how an image is padded does not depend on what is read beside it, and no step
of the model mixes images.

Shapes: N images, H height, W width, C channels, T frames.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import ExportError, OcrError
from horovod_ocr.recognizer.images import KINDS, LIMITS, AnyImage, ReadyImage, ink_boxes, prepare_image
from horovod_ocr.recognizer.network import Network, OnnxNetwork
from horovod_ocr.recognizer.package import Package, read_package
from horovod_ocr.tasks.readers import AnyReading, Reader, reader_from_dict
from horovod_ocr.text.decode import Letter
from sharding.images.limits import Limits

TEMPERATURES = (0.01, 100.0)  # that a confidence may have
CHECKED_WIDTH_PX = 96


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
    """What recognizer.json says, and `precision`, that of the model; empty if this was not exported."""

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
            read = self.read_width([images[number] for number in numbers], letters)
            readings.update(zip(numbers, read, strict=True))
        return [readings[number] for number in range(len(images))]

    def read_width(self, images: Sequence[ReadyImage], letters: bool = True) -> list[AnyReading]:
        """The same for images of one width."""
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
        width = image.valid_width_px
        across, down = image.size_px[0] / width, image.size_px[1] / image.pixels_HWC.shape[0]
        columns = [(span.start * self.frame_px, min(width, span.stop * self.frame_px)) for span in spans]
        letters = []
        for span, (left, top, right, bottom) in zip(spans, ink_boxes(image, columns), strict=True):
            letters.append(
                Letter(span.text, span.confidence, (left * across, top * down, right * across, bottom * down))
            )
        return reading.with_letters(tuple(letters))


def recognizer_of(package: Package) -> Recognizer:
    """Of what was read of an export. ExportError if it does not hold what it should."""
    about = package.about
    try:
        reader = reader_from_dict(about["task"]).at(temperature_of(about["confidence"]["temperature"]))
        geometry = Geometry.from_dict(about["geometry"])
        frame_px = about["frame_px"]
        network = OnnxNetwork(package.model, package.images_a_run)
        check_shapes(network, reader, geometry, frame_px)
    except (LookupError, TypeError, ValueError, AttributeError, OcrError) as error:
        raise ExportError(f"{package.path}: recognizer.json does not hold what it should ({error})") from error
    except ModuleNotFoundError:
        raise
    except Exception as error:  # onnxruntime has its own tree
        raise ExportError(f"{package.path}: onnxruntime cannot read its {package.precision} model ({error})") from error
    return Recognizer(network, reader, geometry, frame_px, {**about, "precision": package.precision})


def temperature_of(value: Any) -> float:
    """ValueError if it would make no confidences."""
    if not isinstance(value, int | float) or not TEMPERATURES[0] <= value <= TEMPERATURES[1]:
        raise ValueError(f"a temperature of {value!r}")
    return float(value)


def check_shapes(network: Network, reader: Reader, geometry: Geometry, frame_px: object) -> None:
    """ValueError if a model does not take the images of the geometry, or has other outputs than the reader. It reads a
    white image."""
    width = geometry.width or CHECKED_WIDTH_PX
    outputs: tuple[int, ...] = (1, reader.outputs)
    if reader.has_frames:
        if type(frame_px) is not int or not 0 < frame_px <= width or geometry.is_photo:
            raise ValueError(f"a model of words with frame_px {frame_px!r} and width {geometry.width!r}")
        outputs = (-(-width // frame_px), *outputs)
    elif frame_px is not None or not geometry.is_photo:
        raise ValueError(f"a model of classes with frame_px {frame_px!r} and width {geometry.width!r}")
    white = np.full((1, geometry.height, width, geometry.channels), 255, np.uint8)
    found = network.logits(white)
    if found.shape != outputs or found.dtype != np.float32:
        raise ValueError(f"outputs of {found.dtype} {found.shape}, not of float32 {outputs}")
