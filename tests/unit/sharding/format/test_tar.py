"""The tar: what the standard library reads is what was written, and nothing of the machine is in it."""

import io
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharding.errors import ShardError
from sharding.format.tar import BLOCK, END, MAX_MEMBER_BYTES, member_header, member_headers, member_name, padded

SIZES = st.integers(0, MAX_MEMBER_BYTES) | st.integers(0, 10_000)


def test_the_standard_library_reads_it_and_offsets_lead_back():
    members = [
        ("000000000.png", b"x" * 700),
        ("000000000.txt", "کتاب".encode()),
        ("000000001.png", b""),
        ("a.txt", b"y" * 512),
    ]
    buffer, positions = b"", []
    for name, content in members:
        buffer += member_header(name, len(content))
        positions.append((len(buffer), len(content)))
        buffer += content.ljust(int(padded(np.array(len(content)))), b"\0")
    buffer += END
    assert [member_name(buffer[at - BLOCK : at]) for at, _ in positions] == [name for name, _ in members]
    with tarfile.open(fileobj=io.BytesIO(buffer)) as tar:
        infos = tar.getmembers()
        assert [(info.name, tar.extractfile(info).read()) for info in infos] == members
        assert [info.offset_data for info in infos] == [at for at, _ in positions]
        assert {(info.mtime, info.uid, info.gid, info.mode, info.uname) for info in infos} == {(0, 0, 0, 0o644, "")}


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 10**9 - 1), st.sampled_from(["png", "jpg", "txt", "cls"]), SIZES)))
def test_many_headers_at_once_are_those_of_one_at_a_time(members):
    numbers, suffixes, sizes = (np.array(column) for column in zip(*members, strict=True)) if members else [[]] * 3
    headers = member_headers(np.array(numbers, np.int64), np.array(suffixes, "S3"), np.array(sizes, np.int64))
    assert [bytes(row) for row in headers] == [member_header(f"{n:09d}.{suffix}", size) for n, suffix, size in members]


def test_the_header_is_ustar_as_the_standard_library_writes_it():
    info = tarfile.TarInfo("000000042.png")
    info.size = 1234
    assert member_header("000000042.png", 1234) == info.tobuf(tarfile.USTAR_FORMAT)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShardError, match="does not fit"):
        member_header("x" * 100, 1)
    with pytest.raises(ShardError, match="does not fit"):
        member_header("x", 8**11)
    with pytest.raises(ShardError, match="at most 1,000,000,000 samples"):
        member_headers(np.array([10**9]), np.array([b"png"]), np.array([1]))
    with pytest.raises(ShardError, match="ends inside a header"):
        member_name(b"x" * 100)
