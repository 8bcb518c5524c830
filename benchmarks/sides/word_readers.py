"""What benchmarks/stream.py compares: each side as its users write it, one process, no workers, batches of 256.

A side is a function that goes through its set once and yields (images of a batch, their labels). All images are grey
and 64 px high. Ours and the two streaming sets keep the aspect ratio; the latter pad to the widest image of the batch.

Shapes: N images, H height, W width.
"""

import io
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

HEIGHT_PX = 64
BATCH = 256
Batches = Iterator[tuple[Tensor, list[str]]]
Epoch = Callable[[], Batches]


def build_side(side: str, task: dict) -> Epoch:
    """task: sets (the folder of word_sets.py), streaming (the folders of apart.py), parseq_width_px."""
    side, *words = side.split(" ", 1)
    sets, form = Path(task["sets"]), words[0] if words else ""
    if side == "stock":
        return build_stock(sets / form)
    if side == "ours":
        shards, decoder = form.split(", ")
        return build_ours(sets / shards, decoder)
    if side == "parseq":
        return build_parseq(sets / "lmdb", task["parseq_width_px"])
    if side == "mosaicml":
        return build_mosaicml(sets / f"mds {form}", task["streaming"])
    return build_litdata(sets / f"litdata {form}")


def build_stock(shards: Path) -> Epoch:
    """webdataset by its own readme: decode("l") gives float32 [0, 1] (H, W), a map resizes, batched pads."""
    import webdataset as wds

    def shrink(sample: tuple[np.ndarray, str]) -> tuple[np.ndarray, str]:
        image_HW, label = sample
        image = Image.fromarray(image_HW)  # Pillow's mode F
        return np.asarray(image.resize(size_of(image), Image.Resampling.BILINEAR)), label

    urls = sorted(map(str, shards.glob("train-*.tar")))
    suffix = "png" if shards.name == "png" else "jpg"

    def batches() -> Batches:
        dataset = wds.WebDataset(urls, shardshuffle=False).decode("l").to_tuple(suffix, "txt").map(shrink)
        yield from dataset.batched(BATCH, collation_fn=pad_batch)

    return batches


def build_ours(shards: Path, decoder: str) -> Epoch:
    """This project's stream: shuffled, each batch of one bucket."""
    stream = open_stream(shards, decoder)
    epochs = count()

    def batches() -> Batches:
        first_step = next(epochs) * stream.steps
        for batch in stream.batches(first_step, first_step + stream.steps):
            yield batch.images_NHWC[..., 0], batch.labels

    return batches


def open_stream(shards: Path, decoder: str = "auto", global_batch: int = BATCH):
    from horovod_ocr.data.image import Geometry
    from horovod_ocr.data.options import StreamOptions
    from horovod_ocr.data.store import open_store
    from horovod_ocr.data.stream import Stream

    store = open_store(str(shards))
    options = StreamOptions(split="train", global_batch=global_batch, decoder=decoder)
    return Stream(store, Geometry(HEIGHT_PX, store.index.bucket_edges), options)


def build_parseq(folder: Path, width_px: int) -> Epoch:
    """PARSeq's LmdbDataset, its transform and its loader, in grey; torchvision's transform is written out here.

    PARSeq resizes every image to one size. width_px: a multiple of 8 that gives at most as many pixels as ours.
    """
    loader = DataLoader(LmdbWords(folder, width_px), BATCH, shuffle=True, num_workers=0)
    return lambda: iter(loader)


class LmdbWords(Dataset):
    def __init__(self, folder: Path, width_px: int) -> None:
        import lmdb

        self.env = lmdb.open(
            str(folder), max_readers=1, readonly=True, create=False, readahead=False, meminit=False, lock=False
        )
        self.size = (width_px, HEIGHT_PX)
        with self.env.begin() as txn:
            words = int(txn.get(b"num-samples"))
            self.labels = [txn.get(f"label-{number:09d}".encode()).decode() for number in range(1, words + 1)]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Tensor, str]:
        with self.env.begin() as txn:
            encoded = txn.get(f"image-{position + 1:09d}".encode())
        image = Image.open(io.BytesIO(encoded)).convert("L").resize(self.size, Image.Resampling.BICUBIC)
        image_1HW = torch.from_numpy(np.array(image)).unsqueeze(0).to(torch.float32).div(255)  # ToTensor
        return image_1HW.sub_(0.5).div_(0.5), self.labels[position]  # Normalize


def build_mosaicml(folder: Path, streaming: list[str]) -> Epoch:
    """mosaicml-streaming's StreamingDataset under torch's DataLoader, as its documentation shows."""
    from sides.apart import open_bare_streaming

    open_bare_streaming(streaming)
    from streaming.base.dataset import StreamingDataset

    class Words(StreamingDataset):
        def __getitem__(self, position: int) -> tuple[np.ndarray, str]:
            sample = super().__getitem__(position)
            return shrink_pillow(sample["image"]), sample["label"]

    loader = DataLoader(Words(local=str(folder), batch_size=BATCH), BATCH, num_workers=0, collate_fn=pad_batch)
    return lambda: iter(loader)


def build_litdata(folder: Path) -> Epoch:
    """litdata's StreamingDataset under its StreamingDataLoader, as its documentation shows."""
    from litdata import StreamingDataLoader, StreamingDataset

    class Words(StreamingDataset):
        def __getitem__(self, position: int) -> tuple[np.ndarray, str]:
            sample = super().__getitem__(position)
            return shrink_pillow(sample["image"]), sample["label"]

    loader = StreamingDataLoader(Words(str(folder)), batch_size=BATCH, num_workers=0, collate_fn=pad_batch)
    return lambda: iter(loader)


def shrink_pillow(image: bytes | memoryview | Image.Image) -> np.ndarray:
    """An image file, or an image that the set has opened, to uint8 (64, W)."""
    opened = image if isinstance(image, Image.Image) else Image.open(io.BytesIO(image))
    grey = opened if opened.mode == "L" else opened.convert("L")
    return np.asarray(grey.resize(size_of(grey), Image.Resampling.BILINEAR))


def size_of(image: Image.Image) -> tuple[int, int]:
    return max(1, round(image.width * HEIGHT_PX / image.height)), HEIGHT_PX


def pad_batch(samples: list[tuple[np.ndarray, str]]) -> tuple[Tensor, list[str]]:
    """White on the right, up to the widest image: one tensor (N, H, W) of the images' type."""
    images, labels = zip(*samples, strict=True)
    white = 255 if images[0].dtype == np.uint8 else 1
    widest = max(image_HW.shape[1] for image_HW in images)
    batch_NHW = np.full((len(images), HEIGHT_PX, widest), white, images[0].dtype)
    for position, image_HW in enumerate(images):
        batch_NHW[position, :, : image_HW.shape[1]] = image_HW
    return torch.from_numpy(batch_NHW), list(labels)
