"""A checkpoint as a reader of images: nothing but the checkpoint is needed.

Shapes: N images, H height, W width, C channels.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from horovod_ocr.checkpoint.restore import restore
from horovod_ocr.data.image import Geometry, decode_image, pad_image
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.device import choose_precision
from horovod_ocr.errors import SourceError
from horovod_ocr.models.base import ImageModel
from horovod_ocr.models.forward import forward
from horovod_ocr.tasks.base import Task
from sharding.images.limits import Limits
from sharding.images.read import read_bytes, read_image
from sharding.layouts.folders import is_image, scan_folders
from sharding.options import MOST_PIXELS
from sharding.reasons import Rejected

CPU = torch.device("cpu")


@dataclass(frozen=True)
class ReadyImage:
    """An image that is ready for the model."""

    pixels_HWC: np.ndarray
    """uint8, padded to the width of its bucket."""
    valid_width_px: int
    """Columns that are not padding."""


@dataclass(frozen=True)
class Recognizer:
    """Model, task and geometry of one checkpoint. Build it with `build_recognizer`."""

    model: ImageModel
    """Its weights are on the device that it computes on."""
    task: Task
    """Turns outputs into readings."""
    geometry: Geometry
    """The height and the widths that the model was trained with."""
    precision: str
    """fp32 or bf16, as in `forward`."""

    @torch.inference_mode()
    def read(self, images: list[ReadyImage]) -> list[Any]:
        """Images to readings in their order; `task` tells what a reading is.

        Those of one width go through the model together, and a reading depends on its own image alone.
        """
        readings: dict[int, Any] = {}
        for width in sorted({image.pixels_HWC.shape[1] for image in images}):
            numbers = [number for number, image in enumerate(images) if image.pixels_HWC.shape[1] == width]
            images_NHWC = torch.from_numpy(np.stack([images[number].pixels_HWC for number in numbers]))
            valid_width_N = torch.tensor([images[number].valid_width_px for number in numbers])
            output = forward(self.model, images_NHWC, valid_width_N, self.precision)
            readings.update(zip(numbers, self.task.read(output), strict=True))
        return [readings[number] for number in range(len(images))]

    def load(self, path: Path) -> ReadyImage:
        """An image file as the sharder and the stream would bring it to the model. SourceError if they refuse it."""
        if os.path.exists(path) and not os.path.isfile(path):  # to read a pipe may wait for ever
            raise SourceError(f"{path}: not a file")
        try:
            # the shards may have been made with another --max-pixels than the usual one
            checked = read_image(read_bytes(path), Limits(max_pixels=MOST_PIXELS))
        except Rejected as rejected:
            raise SourceError(f"{path}: {rejected.explained}") from rejected
        width = self.geometry.padded_width_px(checked.width, checked.height)
        pixels = decode_image(checked.content, self.geometry, limit_px=width)
        valid_width_px = pixels.shape[1]
        if not self.geometry.is_photo:
            pixels = pad_image(pixels, width)
        return ReadyImage(pixels.reshape(*pixels.shape[:2], self.geometry.channels), valid_width_px)


def build_recognizer(payload: dict[str, Any], precision: str = "auto", device: torch.device = CPU) -> Recognizer:
    """From a checkpoint's payload."""
    restored = restore(payload, device)
    precision = choose_precision(precision, device, AloneWorld())
    return Recognizer(restored.model, restored.task, restored.geometry, precision)


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Files as named, and below folders the images that `horovod-ocr shard` would find, sorted. SourceError for a path
    that is not there."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            folders = scan_folders(os.fsencode(path))
            names = [folder.prefix + name for folder in folders for name in folder.files if is_image(name)]
            found += sorted(path / os.fsdecode(name) for name in names)
        elif path.exists():
            found.append(path)
        else:
            raise SourceError(f"there is no image {path}")
    if not found:
        raise SourceError(f"no image (png jpg webp bmp tiff) in {', '.join(map(str, paths))}")
    return found


def read_files(recognizer: Recognizer, paths: list[Path], batch: int = 64) -> Iterator[tuple[Path, Any]]:
    """Each file with its reading, or with the SourceError that says why there is none, in the order given."""
    for start in range(0, len(paths), batch):
        chunk = paths[start : start + batch]
        loaded: list[ReadyImage | SourceError] = []
        for path in chunk:
            try:
                loaded.append(recognizer.load(path))
            except SourceError as error:
                loaded.append(error)
        readings = iter(recognizer.read([item for item in loaded if not isinstance(item, SourceError)]))
        for path, item in zip(chunk, loaded, strict=True):
            yield path, item if isinstance(item, SourceError) else next(readings)
