"""The proof of one shard: a writer that lied is found, though every digest agrees."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from sharding.build import ShardOptions, build_shards
from sharding.format.idx import IDX_RECORD, digest_of, read_idx, read_idx_header, write_idx
from sharding.format.tar import BLOCK, END, member_header
from sharding.verify.verify import verify_shards

NAME = "train-000001"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, make_image) -> Path:
    folder = tmp_path_factory.mktemp("set")
    for number in range(60):
        (folder / f"{number}.png").write_bytes(make_image(number))
    lines = [f"{number}.png\tدن {number}\n" for number in range(60)]
    (folder / "labels.tsv").write_text("".join(lines), encoding="utf-8")
    build_shards(ShardOptions.of(src=folder, out=folder / "shards", samples_per_shard=8, workers=1))
    return folder / "shards"


@pytest.fixture
def writer(whole: Path, tmp_path: Path) -> "Writer":
    return Writer(Path(shutil.copytree(whole, tmp_path / "shards")), NAME)


class Writer:
    """Writes a shard again, with digests and an index that agree, and may lie in all else."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        self.records = np.array(read_idx(root / f"{name}.idx"))
        tar = (root / f"{name}.tar").read_bytes()
        parts = ("image", "label")
        self.contents = [
            [tar[int(record[f"{part}_offset"]) :][: int(record[f"{part}_size"])] for part in parts]
            for record in self.records
        ]
        first = int(tar[:9])
        self.keys = [first + position for position in range(len(self.records))]

    def set_label(self, position: int, label: str) -> None:
        self.contents[position][1] = label.encode("utf-8", "surrogateescape")
        self.records["label_length"][position] = len(label)
        self.records["label_crc32"][position] = crc32(self.contents[position][1])

    def set_image(self, position: int, image: bytes) -> None:
        self.contents[position][0] = image
        self.records["digest"][position] = digest_of(image)

    def write(self, change: Callable[[bytearray], None] = lambda tar: None, end: bytes = END) -> None:
        """change: of the tar's bytes before they are digested."""
        tar = bytearray()
        for key, contents, record in zip(self.keys, self.contents, self.records, strict=True):
            suffixes = (("png", "jpg")[record["image_format"] % 2], "txt")
            for part, suffix, content in zip(("image", "label"), suffixes, contents, strict=True):
                tar += member_header(f"{key:09d}.{suffix}", len(content))
                record[f"{part}_offset"], record[f"{part}_size"] = len(tar), len(content)
                tar += content + bytes(-len(content) % BLOCK)
        tar += end
        change(tar)
        (self.root / f"{self.name}.tar").write_bytes(tar)
        sha256 = hashlib.sha256(tar).hexdigest()
        header = replace(read_idx_header(self.root / f"{self.name}.idx"), tar_bytes=len(tar), tar_sha256=sha256)
        idx_sha256 = write_idx(self.root / f"{self.name}.idx", header, self.records.astype(IDX_RECORD))
        values = {"bytes": len(tar), "sha256": sha256, "idx_sha256": idx_sha256}
        index = json.loads((self.root / "index.json").read_bytes())
        next(shard for shard in index["shards"] if shard["name"] == self.name).update(values)
        (self.root / "index.json").write_text(json.dumps(index), encoding="utf-8")


def palette_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("P", (64, 64)).save(buffer, "PNG")
    return buffer.getvalue()


def put(field: str, value: int) -> Callable[[Writer], None]:
    """In the record of the third sample."""
    return lambda writer: writer.records[field].__setitem__(2, value)


LIES = [
    ("a label of another length", put("label_length", 77)),
    ("a label of another length", put("label_length", 0)),
    ("a label that is not normalised", lambda writer: writer.set_label(2, "\u064a\u0643")),
    ("a label that is not normalised", lambda writer: writer.set_label(2, "دن ")),
    ("a label that is not normalised", lambda writer: writer.set_label(2, "")),
    ("a label that is not UTF-8", lambda writer: writer.set_label(2, "\udcff")),
    ("letters that the profile does not allow", lambda writer: writer.set_label(2, "дом")),
    ("a label that starts with a mark", lambda writer: writer.set_label(2, "\u064eدن")),
    ("a header of the image member", lambda writer: writer.keys.__setitem__(2, writer.keys[1])),
    ("a header of the label member", lambda writer: writer.keys.__setitem__(2, 999_999_999)),
    ("a header of the image member", lambda writer: writer.keys.__setitem__(0, 999_999_999)),
    ("an image of another size or format", put("width", 95)),
    ("an image of another size or format", put("image_format", 1)),
    ("its digest is another", put("digest", 5)),
    ("its CRC-32 is another", put("label_crc32", 5)),
    ("its CRC-32 is another", lambda writer: writer.contents[2].__setitem__(1, "دب".encode())),
    ("an image that cannot be used", lambda writer: writer.set_image(2, b"\x89PNG\r\n\x1a\n, they said")),
    ("it should have been converted", lambda writer: writer.set_image(2, palette_png())),
    ("outside the shard's bucket", put("height", 1)),
    ("an empty image", put("height", 0)),
    ("a subset that the index does not name", put("subset", 9)),
    ("an unknown image format", put("image_format", 7)),
]


@pytest.mark.parametrize(("sentence", "lie"), LIES)
def test_a_sample_that_is_not_what_a_writer_promises(writer: Writer, sentence: str, lie: Callable[[Writer], None]):
    lie(writer)
    writer.write()
    report = verify_shards(writer.root, workers=1)
    assert (report.damaged.keys(), report.problems) == ({NAME}, ())
    assert sentence in " ".join(report.damaged[NAME])


@pytest.mark.parametrize(
    ("sentence", "change", "end"),
    [
        (
            "padding that is not zero (samples: 1, the first: 000000008)",
            lambda tar: tar.__setitem__(BLOCK + int(tar[124:135], 8), 1),
            END,
        ),
        ("padding that is not zero", lambda tar: tar.__setitem__(-2 * BLOCK - 1, 1), END),
        ("a header of the image member", lambda tar: tar.__setitem__(slice(108, 115), b"0001750"), END),
        ("does not end in two empty blocks", lambda tar: tar.__setitem__(-1, 1), END),
        ("its samples take", lambda tar: None, bytes(10240)),
        ("its samples take", lambda tar: None, b""),
    ],
)
def test_a_tar_that_is_not_what_a_writer_promises(writer: Writer, sentence: str, change: Callable, end: bytes):
    writer.write(change, end)
    report = verify_shards(writer.root, workers=1)
    assert (report.damaged.keys(), report.problems) == ({NAME}, ())
    assert sentence in " ".join(report.damaged[NAME])


def test_the_keys_of_two_shards_are_not_the_same(writer: Writer):
    writer.keys = [key - 3 for key in writer.keys]
    writer.write()
    report = verify_shards(writer.root, workers=1)
    assert report.damaged == {}
    assert report.problems == (
        f"train-000000 and {NAME} hold samples of the same key, 000000005",
        f"the keys of {NAME} begin at 000000005, where 000000008 is the next",
        "the keys of train-000002 begin at 000000016, where 000000013 is the next",
    )


def test_a_gap_in_the_keys_of_a_shard(writer: Writer):
    writer.keys = [key + (position > 4) for position, key in enumerate(writer.keys)]
    writer.write()
    (sentences,) = verify_shards(writer.root, workers=1).damaged.values()
    assert sentences == tuple(
        f"{NAME}.tar: a header of the {part} member that its key and size do not give "
        "(samples: 3, the first: 000000013)"
        for part in ("image", "label")
    )


def test_a_true_writer_is_believed(writer: Writer):
    writer.write()
    assert verify_shards(writer.root, workers=1).ok
