"""Every image of a source ends in exactly one place, and in the right one: against a model that holds everything in
lists."""

import io
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sharding.errors import SourceError
from sharding.format.index import read_index
from sharding.format.splits import SPLITS
from sharding.reading import intake
from sharding.reading.split import SplitRule
from tests.unit.sharding.conftest import hash_of

# as it is written -> as it is packed, or why it cannot be
LABELS = {
    None: "no label",
    "": "empty label",
    " \u200e": "empty label",
    "abc": "unknown letters",
    "\u064eدن": "starts with a mark",
    "دن": "دن",
    " د\u0640ن ": "دن",
    "ي": "ی",
    "رات": "رات",
    "بب": "بب",
}
FRAMES = {"دن": 2, "ی": 1, "رات": 3, "بب": 3}  # that CTC needs
NARROW_FRAMES = 2  # of an image of 8 x 64 px
BAD = {"damaged": "damaged image", "empty": "empty file", "missing": "missing image", "text": "not an image"}


class Line(NamedTuple):
    """One image as the source names it. name, picture: small numbers, so that names and pictures repeat."""

    name: int
    kind: str
    picture: int
    label: str | None
    split: int  # place in SPLITS, where the source gives them


class Outcome(NamedTuple):
    packed: Counter
    rejects: Counter
    duplicates: Counter


LINES = st.builds(
    Line,
    st.integers(0, 12),
    st.sampled_from(["good", "good", "good", "converted", "narrow", *BAD]),
    st.integers(1, 4),
    st.sampled_from([*LABELS, "دن", "دن", "رات"]),
    st.integers(0, 2),
)


def write_source(root: Path, lines: list[Line], gives_splits: bool, make_image) -> dict[str, bytes | None]:
    """Returns what lies behind each name. A name that stands twice is one image: the first line says which."""
    root.mkdir()
    contents: dict[str, bytes | None] = {}
    texts: dict[str, list[str]] = {split: [] for split in SPLITS}
    for line in lines:
        name = f"{root.name}-{line.name}.png"
        if name not in contents:
            good = make_image(line.picture, (8, 64) if line.kind == "narrow" else (96, 64))
            bmp = make_image(line.picture, mode="RGB", suffix="bmp")
            bad = {"damaged": good[:-20], "empty": b"", "text": b"hello", "missing": None, "converted": bmp}
            contents[name] = bad.get(line.kind, good)
            if contents[name] is not None:
                (root / name).write_bytes(contents[name])
        texts[SPLITS[line.split]].append(name if line.label is None else f"{name}\t{line.label}")
    if gives_splits:
        for split, rows in texts.items():
            (root / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    else:
        (root / "labels.tsv").write_text("\n".join(sum(texts.values(), [])) + "\n", encoding="utf-8")
    return contents


def pixels(content: bytes) -> tuple:
    with Image.open(io.BytesIO(content)) as image:
        return image.size, image.convert("RGB").tobytes()


def model(sources: list[list[Line]], gives_splits: bool, contents: dict, roots: list[str], dedup: bool) -> Outcome:
    """What must come of it. An image is known by its bytes, a converted one by its pixels."""
    rejects, groups = Counter(), {}
    for number, lines in enumerate(sources):
        lines = sorted(lines, key=lambda line: line.split)  # as they were written
        firsts = {line.name: line for line in reversed(lines)}
        for position, line in enumerate(lines):
            name = f"{roots[number]}-{line.name}.png"
            same = [other for other in lines if other.name == line.name]
            ways = {(other.label, other.split if gives_splits else 0) for other in same}
            content, label = contents[name], LABELS[line.label]
            bad = {None: "missing image", b"": "empty file", b"hello": "not an image"}.get(content)
            kind = next(other.kind for other in sources[number] if other.name == line.name)
            if len(ways) > 1:
                rejects[name, "two labels"] += 1
            elif lines.index(firsts[line.name]) != position:
                rejects[name, "listed twice"] += 1
            elif label not in FRAMES:
                rejects[name, label] += 1
            elif bad or kind == "damaged":
                rejects[name, bad or "damaged image"] += 1
            elif kind == "narrow" and FRAMES[label] > NARROW_FRAMES:
                rejects[name, "label too long"] += 1
            else:
                split = line.split if gives_splits else SplitRule().choose(label, b"")
                order = hash_of(f"order 0 {number}" if number else "order 0", name)
                key = pixels(content) if kind == "converted" else content
                groups.setdefault(key, []).append((-split, order, name, label))
    packed, duplicates = Counter(), Counter()
    for key, samples in groups.items():
        samples.sort()
        if len({label for *_, label in samples}) > 1:
            rejects.update((name, "conflicting labels") for _, _, name, _ in samples)
            continue
        for split, _, name, label in samples:
            if name != samples[0][2]:
                duplicates[name, samples[0][2], SPLITS[-split], SPLITS[-samples[0][0]]] += 1
            if name == samples[0][2] or not dedup:
                packed[SPLITS[-split], label, key] += 1
    return Outcome(packed, rejects, duplicates)


@pytest.mark.slow
@given(
    sources=st.lists(st.lists(LINES, min_size=1, max_size=14), min_size=1, max_size=2),
    gives_splits=st.booleans(),
    dedup=st.booleans(),
    samples_per_shard=st.integers(1, 4),
    check=st.sampled_from(["full", "structure", "header"]),
    range_size=st.sampled_from([1, 3, 512]),
)
@settings(max_examples=40)
def test_every_image_ends_in_one_place_and_the_right_one(
    make_image,
    build,
    read_packed,
    read_list,
    sources,
    gives_splits,
    dedup,
    samples_per_shard,
    check,
    range_size,
):
    with tempfile.TemporaryDirectory() as folder, patch.object(intake, "MOST_ENTRIES", range_size):
        roots = [Path(folder, f"raw{number}") for number in range(len(sources))]
        contents: dict[str, bytes | None] = {}
        for root, lines in zip(roots, sources, strict=True):
            contents |= write_source(root, lines, gives_splits, make_image)
        wanted = model(sources, gives_splits, contents, [root.name for root in roots], dedup)
        out = Path(folder, "out")
        asked = {"profile": "urdu", "dedup": dedup, "samples_per_shard": samples_per_shard, "check": check}
        try:
            report = build(tuple(roots), out, **asked)
        except SourceError as error:
            assert "can be used" in str(error)
            assert not wanted.packed
            report = None

        def shown(name: str) -> str:  # lists name the source where there are several
            return name if len(sources) == 1 else f"{name.split('-')[0]}/{name}"

        rejects = Counter((row["path"], row["reason"]) for row in read_list(out / "rejects.tsv"))
        assert rejects == {(shown(name), reason): count for (name, reason), count in wanted.rejects.items()}
        duplicates = Counter(tuple(row.values()) for row in read_list(out / "duplicates.tsv"))
        assert duplicates == {
            (shown(name), shown(other), *splits): count for (name, other, *splits), count in wanted.duplicates.items()
        }
        if report is None:
            return
        kept = {content for content in contents.values() if content}
        packed = Counter(
            (split, label, image if image in kept else pixels(image)) for split, image, label in read_packed(out)
        )
        assert packed == wanted.packed
        index = read_index(out)
        across = sum(count for (_, _, split, other), count in duplicates.items() if split != other)
        left_out = duplicates.total() if dedup else 0
        assert index.counts.duplicates == {
            "same split": duplicates.total() - across,
            "across splits": across,
            "left out": left_out,
        }
        assert index.counts.rejects == Counter(reason for _, reason in rejects.elements())
        assert index.counts.totals == {
            split: sum(n for key, n in packed.items() if key[0] == split) for split in SPLITS
        }
        assert packed.total() + rejects.total() + left_out == sum(map(len, sources))
        assert all(0 < shard.samples <= samples_per_shard for shard in index.shards)
