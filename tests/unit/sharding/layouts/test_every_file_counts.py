"""The rule of all layouts that are not label files, over random small sources with random damage: each picture and each
text is packed with the label that was meant, or a reject of its own, or the source is refused."""

import io
import os
import re
import tarfile
from collections import Counter
from pathlib import Path

import lmdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharding.errors import SourceError
from sharding.layouts import lmdb_records
from sharding.layouts.entry import Source
from sharding.layouts.files import LFS_POINTER
from sharding.layouts.find import find_source
from sharding.layouts.folders import is_image
from sharding.layouts.naming import split_of_folder
from sharding.layouts.pairs import is_text, text_stem
from sharding.reading.listing import write_catalogue
from sharding.reasons import Rejected

POINTER = LFS_POINTER + b"v1\noid sha256:0\n"
BAD_PICTURES = (b"", POINTER)
STEMS = st.sampled_from(["a", "b", "p7.l0", "p7.l1", "p7", "é 1"])
FOLDERS = st.sampled_from(["", "", "x/", "train/", "Test/", "x/y/"])
PICTURE_SUFFIXES = st.sampled_from([".png", ".png", ".png", ".PNG", ".bin.png", ".nrm.PNG", ".jpeg", ".gif"])
TEXT_SUFFIXES = st.sampled_from([".txt", ".txt", ".gt.txt", ".gt.txt", ".TXT", ".GT.TXT", ".label"])
PICTURES = st.builds("{}{}{}".format, FOLDERS, STEMS, PICTURE_SUFFIXES)
TEXTS = st.builds("{}{}{}".format, FOLDERS, STEMS, TEXT_SUFFIXES)
LINE_ENDS = st.sampled_from(["", "\n", "\r\n", "\n\n", "\f"])
few = settings(max_examples=60)


def outcomes(source: Source, folder: Path) -> tuple[dict[str, bytes], Counter[str], Counter[str]]:
    """(picture -> label of what can be packed, how often each path is rejected, and why), as a build does it."""
    catalogue = write_catalogue(folder, [source], 0, lambda progress: None)
    reader = source.open()
    packed, rejected, reasons = {}, Counter(), Counter()
    for entry in catalogue.read(0, catalogue.entries):
        path = os.fsdecode(entry.path)
        try:
            if entry.problem:
                raise Rejected(entry.problem)
            label = reader.read_label(entry.label) if source.labels_apart and entry.label is not None else entry.label
            if label is None:
                raise Rejected("no label")
            reader.read_image(entry.path, entry.image_at, entry.image_size)
            assert path not in packed
            packed[path] = label
        except Rejected as why:
            rejected[path] += 1
            reasons[why.reason] += 1
    reader.close()
    return packed, rejected, reasons


def stem_of(picture: str) -> str:
    """Without the suffix, and what Tesseract and its like put before it."""
    return re.sub(r"\.(bin|nrm|raw|dew)$", "", picture[: picture.rfind(".")], flags=re.IGNORECASE)


def text_stem_of(text: str) -> str:
    return os.fsdecode(text_stem(os.fsencode(text)))


def check_pairs(packed: dict, rejected: Counter, pictures: set[str], texts: dict[str, list[str]]) -> None:
    """pictures: paths. texts: path -> what each text of that path says; it begins with its path."""
    used = {label.decode().partition("|")[0] for label in packed.values()}
    assert pictures == {path for path in (*packed, *rejected) if is_image(os.fsencode(path))}
    assert not used & {path for path in rejected if is_text(os.fsencode(path)) and len(texts[path]) == 1}
    for picture, label in packed.items():
        name, _, _ = label.decode().partition("|")
        assert texts[name] == [label.decode()] * len(texts[name]), "one of several contents"
        others = {text for text in texts if text_stem_of(text) in (stem_of(picture), picture[: picture.rfind(".")])}
        if text_stem_of(name) not in (stem_of(picture), picture[: picture.rfind(".")]):  # by the key: it is alone
            key = picture[: picture.rfind("/") + 1] + picture[picture.rfind("/") + 1 :].partition(".")[0]
            assert text_stem_of(name) == key and not others
            assert [other for other in pictures if other.startswith(f"{key}.")] == [picture]
        elif any(text.lower().endswith(".gt.txt") for text in others):
            assert name.lower().endswith(".gt.txt")
    for text in texts:  # its picture says why, if it has no line of its own
        assert (
            text in used
            or text in rejected
            or any(
                stem_of(picture) == text_stem_of(text)
                or picture[: picture.rfind(".")] == text_stem_of(text)
                or picture.startswith(f"{text_stem_of(text)}.")
                for picture in rejected
            )
        )


@pytest.mark.slow
@given(data=st.data())
@few
def test_texts_beside_pictures(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("raw")
    pictures = data.draw(st.sets(PICTURES, min_size=1, max_size=6))
    texts = {name: [f"{name}|{n}"] for n, name in enumerate(sorted(data.draw(st.sets(TEXTS, min_size=1, max_size=6))))}
    kinds = st.sampled_from(["file"] * 6 + ["loop", "dangling", "pointer", "utf-16", "bom"])
    bad = set()
    for name in (*pictures, *texts):
        path, kind = root / name, data.draw(kinds)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = (texts[name][0] + data.draw(LINE_ENDS)).encode() if name in texts else b"picture"
        if kind == "loop":
            path.symlink_to(path.name)
        elif kind == "dangling":
            path.symlink_to("nowhere")
        elif kind in ("utf-16", "bom") and name in texts:
            path.write_bytes(content.decode().encode("utf-16" if kind == "utf-16" else "utf-8-sig"))
        else:
            path.write_bytes(POINTER if kind == "pointer" else content)
        if kind in ("loop", "dangling", "pointer"):
            bad.add(name)
    try:
        source = find_source(root, "beside")
    except SourceError:
        assert not {stem_of(name) for name in pictures} & {text_stem_of(name) for name in texts}
        return
    packed, rejected, _ = outcomes(source, tmp_path_factory.mktemp("catalogue"))
    assert set(rejected.values()) <= {1}
    check_pairs(packed, rejected, pictures, texts)
    assert not bad & {*packed, *(label.decode().partition("|")[0] for label in packed.values())}
    for picture in pictures - bad:  # nothing is refused for nothing
        own = [text for text in texts if text_stem_of(text) == picture[: picture.rfind(".")]]
        assert picture in packed or len(own) != 1 or own[0] in bad


@pytest.mark.slow
@given(data=st.data())
@few
def test_tars(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("raw")
    names = data.draw(st.lists(st.one_of(PICTURES, PICTURES, TEXTS, TEXTS), min_size=1, max_size=9))
    kinds = data.draw(st.lists(st.sampled_from(["file"] * 8 + ["link", "pointer"]), min_size=9, max_size=9))
    texts: dict[str, list[str]] = {}
    shown: dict[str, set[bytes]] = {}
    bad = {name for name, kind in zip(names, kinds, strict=False) if kind != "file"}
    with tarfile.open(root / "a.tar", "w") as tar:
        for name, kind in zip(names, kinds, strict=False):
            member, content = tarfile.TarInfo(name), b"picture %d" % data.draw(st.integers(0, 1))
            if is_text(name.encode()):
                said = f"{name}|{data.draw(st.integers(0, 1))}"
                texts.setdefault(name, []).append(said)
                content = (said + data.draw(LINE_ENDS)).encode()
            if kind == "pointer":
                content = POINTER
            if kind == "link":
                member.type, member.linkname, content = tarfile.SYMTYPE, "a.png", b""
            member.size = len(content)
            shown.setdefault(name, set()).add(content)
            tar.addfile(member, io.BytesIO(content))
    packed, rejected, _ = outcomes(find_source(root, "webdataset"), tmp_path_factory.mktemp("catalogue"))
    assert all(path.startswith("a.tar/") for path in (*packed, *rejected))
    packed = {path.removeprefix("a.tar/"): label for path, label in packed.items()}
    rejected = Counter({path.removeprefix("a.tar/"): count for path, count in rejected.items()})
    times = Counter(names)
    pictures = {name for name in times if is_image(name.encode())}
    assert all(rejected[name] >= times[name] - 1 and len(shown[name]) == 1 for name in packed), "the same, twice"
    assert all(rejected[name] >= times[name] for name in pictures - packed.keys() if times[name] > 1)
    check_pairs(packed, rejected, pictures, texts)
    assert not bad & {*packed, *(label.decode().partition("|")[0] for label in packed.values())}
    for picture in pictures - bad:
        own = [text for text in texts if text_stem_of(text) == picture[: picture.rfind(".")]]
        is_clear = len(own) == 1 and own[0] not in bad and times[picture] == 1 and len({*texts[own[0]]}) == 1
        assert picture in packed or not is_clear


@pytest.mark.slow
@given(names=st.sets(PICTURES, min_size=1, max_size=8), named=st.booleans(), text=st.sampled_from([None, "x/a.txt"]))
@few
def test_folders_of_classes(tmp_path_factory, names, named, text):
    root = tmp_path_factory.mktemp("raw")
    for name in (*names, *filter(None, [text])):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"?")
    try:
        source = find_source(root, "classes" if named else None)
    except SourceError:
        return
    if source.layout != "classes":  # the text belongs to a picture, or names one
        assert text
        return
    assert not text or named
    packed, rejected, _ = outcomes(source, tmp_path_factory.mktemp("catalogue"))
    assert {*packed} | {*rejected} == names and not packed.keys() & rejected.keys()
    tops = {name.split("/")[0] for name in names if "/" in name}
    are_splits = all(split_of_folder(top.encode()) for top in tops)
    for name, label in packed.items():
        assert label.decode() == name.split("/")[are_splits]
    assert all(name.count("/") <= are_splits for name in rejected)


@pytest.mark.slow
@given(
    names=st.sets(st.builds("{}{}_{}{}".format, FOLDERS, st.sampled_from("12"), STEMS, PICTURE_SUFFIXES), min_size=1)
)
@few
def test_labels_in_names(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("raw")
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"?")
    packed, rejected, _ = outcomes(find_source(root, None, r"1_([^.]+)\."), tmp_path_factory.mktemp("catalogue"))
    base = {name: name.rpartition("/")[2] for name in names}
    assert packed == {name: base[name][2:].partition(".")[0].encode() for name in names if base[name][0] == "1"}
    assert rejected == Counter(names - packed.keys())


RECORDS = st.dictionaries(st.integers(0, 9), st.tuples(st.sampled_from([b"i", b"i", b"", None]), st.booleans()))


@pytest.mark.slow
@given(records=RECORDS, count=st.sampled_from([0, 3, 6, 9, 20]))
@few
def test_records_of_an_lmdb(tmp_path_factory, records, count):
    root = tmp_path_factory.mktemp("raw")
    with lmdb.open(str(root), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"num-samples", b"%d" % count)
        for number, (image, has_label) in records.items():
            if image is not None:
                transaction.put(b"image-%09d" % number, image)
            if has_label:
                transaction.put(b"label-%09d" % number, b"word %d" % number)
    present = {number for number, (image, has_label) in records.items() if image is not None or has_label}
    try:
        packed, rejected, reasons = outcomes(find_source(root), tmp_path_factory.mktemp("catalogue"))
    except SourceError as why:
        assert not present <= {*range(1, count + 1)} or not count or "only" in str(why)
        return
    finally:
        lmdb_records._environment.cache_clear()
    assert present <= {*range(1, count + 1)}
    whole = {number for number, (image, has_label) in records.items() if image and has_label}
    assert packed == {f"image-{number:09d}": b"word %d" % number for number in whole}
    assert rejected == Counter(f"image-{number:09d}" for number in {*range(1, count + 1)} - whole)
    assert reasons.keys() <= {"no label", "missing image", "empty file"}


ROWS = st.lists(
    st.tuples(st.sampled_from([b"i", b"i", b"", None, POINTER]), st.sampled_from(["a", "ب\n", "a\nb", None]))
)


@pytest.mark.slow
@given(files=st.lists(ROWS, min_size=1, max_size=3), struct=st.booleans(), group=st.integers(1, 4))
@few
def test_rows_of_parquet(tmp_path_factory, files, struct, group):
    root = tmp_path_factory.mktemp("raw")
    meant, count = {}, 0
    for number, rows in enumerate(files):
        images = [{"bytes": image, "path": "x.png"} if struct else image for image, _ in rows]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())]) if struct else pa.binary()
        columns = {"image": pa.array(images, kind), "text": pa.array([text for _, text in rows], pa.string())}
        pq.write_table(pa.table(columns), root / f"{number}.parquet", row_group_size=group)
        for row, (image, text) in enumerate(rows):
            count += 1
            if image == b"i" and text is not None and text != "a\nb":
                meant[f"{number}.parquet/{row:09d}"] = text.strip().encode()
    source = find_source(root)
    if not count:
        with pytest.raises(SourceError, match="hold no row"):
            list(source.entries())
        return
    packed, rejected, reasons = outcomes(source, tmp_path_factory.mktemp("catalogue"))
    assert packed == meant
    assert len(packed) + rejected.total() == count and set(rejected.values()) <= {1}
    assert reasons.keys() <= {"no label", "missing image", "empty file", "several lines", "Git LFS pointer"}
