"""Checkpoints and indices as no program writes them: a sentence that names the file, and nothing else happens.

Each case is drawn from its number, so that one that fails can be run again alone.
"""

import io
import json
import os
import pickle
import resource
import shutil
import signal
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
import torch

from horovod_ocr.checkpoint.file import load_checkpoint, read_checkpoint, write_checkpoint
from horovod_ocr.checkpoint.schema import FIELDS, VERSION
from horovod_ocr.errors import CheckpointError, OcrError, ShardError
from horovod_ocr.run.folder import Ownership, digest_path
from sharding.format.idx import read_idx
from sharding.format.index import check_shards_present, read_index
from tests.unit.checkpoint.payload import tiny_payload

pytestmark = pytest.mark.fault

BYTE_CASES, PICKLE_CASES, INDEX_CASES, IDX_CASES = 60, 40, 60, 30
LIMIT_BYTES, LIMIT_S = 512 << 20, 20


@contextmanager
def bounded() -> Iterator[None]:
    """No file takes half a gigabyte more of memory, or twenty seconds."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES, before[1]))
    handler = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"it hangs for {LIMIT_S} s"))
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A checkpoint. No test changes it."""
    return write_checkpoint(Ownership(tmp_path_factory.mktemp("run")), 8, tiny_payload(1.0), is_best=False)


def refused(path: Path, kind: type[OcrError], read: Callable[[Path], object]) -> str:
    """The sentence with which a file is refused, which names it; "" where it is taken."""
    try:
        with bounded():
            read(path)
    except kind as error:
        assert path.name in str(error), error
        assert len(str(error)) < 1000
        return str(error)
    return ""


def damaged(content: bytes, random: Random) -> bytes:
    """Cut, flipped, blanked, doubled or lengthened somewhere."""
    start, length = random.randrange(len(content)), random.choice((1, 4, 64, 4096))
    end = start + length
    return random.choice(
        (
            content[:start],
            content[:start] + random.randbytes(len(content[start:end])) + content[end:],
            content[:start] + bytes(len(content[start:end])) + content[end:],
            content[:end] + content[start:],
            content[:start] + content[end:],
        )
    )


@pytest.mark.parametrize("beside", [True, False], ids=["digest", "no digest"])
def test_damaged_bytes_of_a_checkpoint(whole, tmp_path, beside):
    sound, taken = whole.read_bytes(), 0
    for case in range(BYTE_CASES):
        path = tmp_path / f"step-{case:08d}.pt"
        content = damaged(sound, Random(case))
        path.write_bytes(content)
        if beside:
            shutil.copy(digest_path(whole), digest_path(path))
        sentence = refused(path, CheckpointError, read_checkpoint)
        taken += not sentence
        assert sentence or not beside or content == sound, case
    assert taken < BYTE_CASES / 2  # without a digest, damage to what nobody reads goes unseen


def packed(whole: Path, path: Path, data: bytes, compression: int = zipfile.ZIP_STORED, blob: bytes = b"") -> Path:
    """A checkpoint with another pickle, in an archive that is sound; blob: instead of its first tensor."""
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", compression) as target:
        for entry in source.infolist():
            content = source.read(entry)
            content = data if entry.filename.endswith("data.pkl") else content
            target.writestr(entry.filename, blob if blob and entry.filename.endswith("data/0") else content)
    return path


def pickle_of(whole: Path) -> bytes:
    with zipfile.ZipFile(whole) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def test_damaged_pickles_in_a_sound_archive(whole, tmp_path):
    sound = pickle_of(whole)
    for case in range(PICKLE_CASES):
        random = Random(case)
        data = damaged(sound, random) if case % 4 else b"\x80\x02" + random.randbytes(200) + b"."
        path = packed(whole, tmp_path / f"{case}.pt", data)
        if not refused(path, CheckpointError, read_checkpoint):
            assert read_checkpoint(path).keys() >= FIELDS.keys(), case


NESTED_TUPLES = b"\x80\x02}K\x01\x85" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(60)) + b"K\x01s."
PICKLES = {
    "code": (pickle.dumps({"format": pytest.fail}, protocol=2), "which no checkpoint needs"),
    "system": (b"\x80\x02cos\nsystem\nX\x0b\x00\x00\x00touch ownedq\x01\x85R.", "os.system, which no checkpoint"),
    "buffer": (b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "bytearray, which no checkpoint"),
    "tuples as keys": (NESTED_TUPLES, "a tuple for a key"),
    "a long text": (b"\x80\x02X\xff\xff\xff\x7fabc.", "not a checkpoint"),
    "a far place": (b"\x80\x02K\x01r\xff\xff\xff\x7f.", "not a checkpoint"),
    "deep lists": (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "not a checkpoint"),
    "another opcode": (b"\x80\x02(i__main__\nX\n.", "not a checkpoint"),
    "newer": (pickle.dumps({"a": b"b"}, protocol=5), "not a checkpoint"),
    "nothing": (b"", "not a checkpoint"),
}


@pytest.mark.parametrize("name", PICKLES)
def test_crafted_pickles(whole, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    data, sentence = PICKLES[name]
    assert sentence in refused(packed(whole, tmp_path / "step-1.pt", data), CheckpointError, read_checkpoint)
    assert os.listdir(tmp_path) == ["step-1.pt"]


def test_a_bomb_is_not_unpacked(whole, tmp_path):
    path = packed(whole, tmp_path / "bomb.pt", pickle_of(whole), zipfile.ZIP_DEFLATED, bytes(100 << 20))
    assert path.stat().st_size < 1 << 20
    assert "compressed records" in refused(path, CheckpointError, read_checkpoint)


def laughs(depth: int) -> list:
    """A list of a few hundred bytes that is 10 ** depth long when it is walked through."""
    value: list = [1] * 10
    for _ in range(depth):
        value = [value] * 10
    return value


def endless() -> list:
    value: list = []
    value.append(value)
    return value


WRONG = {  # type of the field -> values of another type, and of its own that it cannot have
    int: ["8", None, -1, 1 << 70, 8.0, True, [8]],
    float: ["0.5", None, 1, [0.5]],
    dict: [[], None, {1: 2}, {"x": torch.zeros(1).expand(1 << 40)}, {"x": laughs(9)}, {"x": endless()}, "{}"],
    list: [{}, None, [1], [torch.zeros(3)], [torch.zeros(1, dtype=torch.uint8).expand(1 << 40)]],
    str: [5, None, ["crnn"]],
}
MAY_HOLD = {("config", 2), ("model_options", 2), ("versions", 2)}  # a dictionary of numbers is one to them


@pytest.mark.parametrize("field", FIELDS)
def test_fields_that_are_missing_or_of_another_type(tmp_path, field):
    sound = {"format": "horovod-ocr checkpoint", "version": VERSION, "step": 8, **tiny_payload(1.0)}
    path = tmp_path / "step-00000008.pt"
    torch.save({name: value for name, value in sound.items() if name != field}, path)
    assert f"it has no field {field}" in refused(path, CheckpointError, read_checkpoint)
    for position, value in enumerate(WRONG[FIELDS[field]]):
        if (field, position) not in MAY_HOLD:
            torch.save({**sound, field: value}, path)
            sentence = refused(path, CheckpointError, read_checkpoint)
            assert f"its field {field} " in sentence, (value if position < 3 else position, sentence)


@pytest.mark.parametrize("version", [None, "1", 1.0, 1 << 900, endless()], ids=["none", "text", "float", "big", "list"])
def test_versions_that_are_none(tmp_path, version):
    path = tmp_path / "x.pt"
    torch.save({"format": "horovod-ocr checkpoint", "version": version}, path)
    assert "its field version" in refused(path, CheckpointError, read_checkpoint)


def test_only_damaged_ones_say_so_one_after_the_other(whole, tmp_path, capsys):
    (tmp_path / "checkpoints").mkdir()
    for step in range(1, 6):
        content = damaged(whole.read_bytes(), Random(step))[:-30]
        (tmp_path / "checkpoints" / f"step-{step:08d}.pt").write_bytes(content)
    (tmp_path / "LAST").write_text("step-00000005.pt\n")
    with pytest.raises(CheckpointError, match="LAST names step-00000005.pt, and no checkpoint up to it is whole"):
        load_checkpoint(tmp_path)
    assert capsys.readouterr().err.count("taking the one before") == 5


def open_index(path: Path) -> None:
    check_shards_present(read_index(path.parent))


def replaced(values: object, random: Random) -> object:
    """One value somewhere in it, exchanged for another."""
    if isinstance(values, dict | list) and values and random.random() < 0.85:
        position = random.choice(list(values)) if isinstance(values, dict) else random.randrange(len(values))
        copy = dict(values) if isinstance(values, dict) else list(values)
        copy[position] = replaced(values[position], random)
        return copy
    return random.choice(
        [None, "", "x" * 99, -1, 1 << 80, 1e999, float("nan"), [], {}, [[]], {"a": {}}, True, 0.5, "../x"]
    )


def index_of(sound: bytes, case: int) -> bytes:
    random = Random(case)
    if case % 3 == 0:
        return damaged(sound, random)
    return json.dumps(replaced(json.loads(sound), random)).encode()


CRAFTED = [
    b"[" * 200_000,
    b"{" * 9,
    b'{"format": "horovod-ocr shards", "version": ' + b"9" * 9999 + b"}",
    b"\xff\xfe",
    b"",
]


def test_damaged_and_crafted_indices(word_shards, tmp_path):
    for shards in (*word_shards.glob("*.tar"), *word_shards.glob("*.idx")):
        os.link(shards, tmp_path / shards.name)
    path, sound = tmp_path / "index.json", (word_shards / "index.json").read_bytes()
    said = 0
    for content in [*CRAFTED, *(index_of(sound, case) for case in range(INDEX_CASES))]:
        path.write_bytes(content)
        try:
            with bounded():
                open_index(path)
        except ShardError as error:
            assert str(tmp_path) in str(error) and len(str(error)) < 1000, error
            said += 1
    assert said > INDEX_CASES / 2


def test_damaged_and_crafted_idx_files(word_shards, tmp_path):
    source = next(iter(sorted(word_shards.glob("train-*.idx"))))
    sound, path = source.read_bytes(), tmp_path / "train-000000.idx"
    header = struct.Struct("<8sIIQ32s32s")
    magic, version, samples, *rest = header.unpack_from(sound)
    crafted = [
        header.pack(magic, version, count, *rest) + sound[header.size :] for count in (0, 1, samples + 1, (1 << 32) - 1)
    ]
    crafted.append(sound[: header.size] + b"\xff" * len(sound[header.size :]))
    crafted.append(header.pack(magic, version, samples, 1, *rest[1:]) + sound[header.size :])
    for content in crafted:
        path.write_bytes(content)
        assert refused(path, ShardError, read_idx)
    for case in range(IDX_CASES):
        path.write_bytes(damaged(sound, Random(case)))
        refused(path, ShardError, read_idx)  # other bytes in a record are found by the digest in index.json


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "step-00000001.pt")
    assert "not a file" in refused(tmp_path / "step-00000001.pt", CheckpointError, read_checkpoint)
    for name in ("index.json", "train-000000.idx"):
        (tmp_path / name).mkdir()
    assert "cannot be read" in refused(tmp_path / "index.json", ShardError, open_index)
    assert "cannot be read" in refused(tmp_path / "train-000000.idx", ShardError, read_idx)


def test_records_that_claim_more_than_there_is(whole, tmp_path):
    """The directory of the archive says a gigabyte where a few bytes are."""
    content = bytearray(whole.read_bytes())
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        start = archive.start_dir
    for field in (20, 24):  # its compressed and its full size
        struct.pack_into("<I", content, start + field, 1 << 30)
    path = tmp_path / "step-00000001.pt"
    path.write_bytes(content)
    assert "records larger than the file" in refused(path, CheckpointError, read_checkpoint)
