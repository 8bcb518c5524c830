"""Small finished shard sets, written by hand: what samples and reports are read from, without a build."""

import hashlib
import io
import tarfile
import zlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from PIL import Image

from sharding.format.idx import IDX_RECORD, IdxHeader, digest_of, write_idx
from sharding.format.index import SetCounts, ShardIndex, ShardInfo, write_index
from sharding.format.script.profile import build_profile
from sharding.format.splits import SPLITS


def image_bytes(number: int, size: tuple[int, int] = (96, 64)) -> bytes:
    """A PNG of one grey level."""
    buffer = io.BytesIO()
    Image.new("L", size, 40 + number % 200).save(buffer, "PNG")
    return buffer.getvalue()


def write_shard(root: Path, name: str, samples: list[tuple[bytes, str, int, tuple[int, int]]], kind: str) -> ShardInfo:
    """samples: (image, text of the label member, subset, (width, height))."""
    suffix = "cls" if kind == "classes" else "txt"
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, (image, label, _, _) in enumerate(samples):
            for name_of, member in ((f"{number:04d}.png", image), (f"{number:04d}.{suffix}", label.encode())):
                info = tarfile.TarInfo(name_of)
                info.size = len(member)
                tar.addfile(info, io.BytesIO(member))
    records = np.zeros(len(samples), IDX_RECORD)
    with tarfile.open(fileobj=io.BytesIO(file.getvalue())) as tar:
        members = tar.getmembers()
    for number, (image, label, subset, size) in enumerate(samples):
        record = records[number]
        record["image_offset"], record["label_offset"] = (m.offset_data for m in members[2 * number : 2 * number + 2])
        record["image_size"], record["label_size"] = len(image), len(label.encode())
        record["width"], record["height"] = size
        record["digest"] = digest_of(image)
        record["label_crc32"] = zlib.crc32(label.encode())
        record["label_length"], record["subset"] = 0 if kind == "classes" else len(label), subset
    content = file.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    (root / f"{name}.tar").write_bytes(content)
    idx_digest = write_idx(root / f"{name}.idx", IdxHeader(len(samples), len(content), digest, "00" * 32), records)
    return ShardInfo(name, name.split("-")[0], 0, len(samples), len(content), digest, idx_digest)


def count_classes(labels: dict[str, list[str]], classes: int) -> dict[str, tuple[int, ...]]:
    """As `SetCounts.class_samples`."""
    if not classes:
        return {}
    return {split: tuple(labels.get(split, []).count(str(number)) for number in range(classes)) for split in SPLITS}


def write_set(root: Path, labels: dict[str, list[str]], kind: str = "words", per_shard: int = 4, **facts) -> ShardIndex:
    """A set with these labels in each split. The n-th image of all is `image_bytes(n)`; widths repeat 48, 96, 144.

    facts: fields of the index and of its counts.
    """
    root.mkdir(parents=True)
    shards, totals, lengths, number = [], {}, {}, 0
    letters: dict[str, int] = {}
    for split, texts in labels.items():
        samples = []
        for text in texts:
            size = (48 * (1 + number % 3), 64)
            samples.append((image_bytes(number, size), text, number % 2, size))
            number += 1
            lengths[len(text)] = lengths.get(len(text), 0) + 1
            for letter in text if kind == "words" else "":
                letters[letter] = letters.get(letter, 0) + (split == "train")
        totals[split] = len(texts)
        for position in range(0, len(texts), per_shard):
            name = f"{split}-{position // per_shard:06d}"
            shards.append(write_shard(root, name, samples[position : position + per_shard], kind))
    values = dict(
        kind=kind,
        seed=0,
        profile=build_profile("plain"),
        alphabet=dict(sorted(letters.items())),
        classes=(),
        bucket_edges=(2.5,),
        shards=tuple(shards),
        subsets=("", "odd"),
        counts=SetCounts(totals, lengths, (number,), count_classes(labels, len(facts.get("classes", ())))),
    )
    counts = {each.name: facts.pop(each.name) for each in fields(SetCounts) if each.name in facts}
    index = ShardIndex(root=root, **(values | facts))
    index = replace(index, counts=replace(index.counts, **counts))
    write_index(index)
    return index
