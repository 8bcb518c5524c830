"""The same rendered words in the form that each side of benchmarks/stream.py reads: shards, an LMDB, MDS, litdata's.

    python benchmarks/sides/word_sets.py '{"folder": "sets", "words": 12000, "streaming": [...]}'

Without `streaming`, only the shards are made.
"""

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from horovod_ocr.synth.generate import SynthOptions, synthesize
from sharding.build import build_shards
from sharding.options import ShardOptions

SHARDS = {"png": {}, "jpeg": {"image": "jpeg"}, "jpeg 64 px": {"image": "jpeg", "height": 64}}
LMDB_BYTES = 1 << 34  # room for 5 M words; the file is as large as what is in it
CHUNK_BYTES = "64MB"  # what litdata's documentation writes with


def main() -> None:
    task = json.loads(sys.argv[1])
    folder = Path(task["folder"])
    synthesize(SynthOptions(words=task["words"], out=folder / "raw", seed=0))
    for name, form in SHARDS.items():
        # all words in one split, because the other sides have no splits
        form = {"profile": "urdu", "fractions": (1.0, 0.0, 0.0), **form}
        build_shards(ShardOptions.of(src=folder / "raw", out=folder / name, **form))
    if task["streaming"]:
        write_lmdb(folder)
        write_mds(folder, task["streaming"])
        write_litdata(folder)


def images_and_labels(folder: Path) -> Iterator[tuple[bytes, str]]:
    with (folder / "raw" / "labels.tsv").open(encoding="utf-8") as lines:
        next(lines)  # path, label, subset
        for line in lines:
            name, label, _ = line.split("\t")
            yield (folder / "raw" / name).read_bytes(), label


def opened(image: bytes) -> Image.Image:
    return Image.open(io.BytesIO(image))


def write_lmdb(folder: Path) -> None:
    """As clovaai's create_lmdb_dataset.py, which PARSeq's sets are made with."""
    import lmdb

    with lmdb.open(str(folder / "lmdb"), map_size=LMDB_BYTES) as env, env.begin(write=True) as txn:
        number = 0
        for number, (image, label) in enumerate(images_and_labels(folder), 1):
            txn.put(b"image-%09d" % number, image)
            txn.put(b"label-%09d" % number, label.encode())
        txn.put(b"num-samples", b"%d" % number)


def write_mds(folder: Path, streaming: list[str]) -> None:
    """mosaicml-streaming's two ways to hold an image without loss: its file, or its pixels."""
    from sides.apart import open_bare_streaming

    open_bare_streaming(streaming)
    from streaming.base.format.mds import MDSWriter

    for form in ("bytes", "pil"):
        with MDSWriter(columns={"image": form, "label": "str"}, out=str(folder / f"mds {form}")) as sink:
            for image, label in images_and_labels(folder):
                sink.write({"image": image if form == "bytes" else opened(image), "label": label})


def write_litdata(folder: Path) -> None:
    """litdata's two ways: the file, or as its documentation does, the image as Pillow has it (its pixels)."""
    from litdata import optimize

    os.environ["DATA_OPTIMIZER_CACHE_FOLDER"] = str(folder / "litdata unfinished")  # else they outlive this run
    os.environ["DATA_OPTIMIZER_DATA_CACHE_FOLDER"] = str(folder / "litdata inputs")

    for form, sample_of in (("bytes", file_sample), ("pil", pixels_sample)):
        optimize(
            fn=sample_of,
            inputs=list(images_and_labels(folder)),
            output_dir=str(folder / f"litdata {form}"),
            chunk_bytes=CHUNK_BYTES,
            num_workers=1,
            verbose=False,
        )


def file_sample(entry: tuple[bytes, str]) -> dict:
    return {"image": entry[0], "label": entry[1]}


def pixels_sample(entry: tuple[bytes, str]) -> dict:
    image = opened(entry[0])
    image.load()
    return {"image": image, "label": entry[1]}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
