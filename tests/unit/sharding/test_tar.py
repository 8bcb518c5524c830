"""The tar: what the standard library reads is what was written, and nothing of the machine is in it."""

import io
import tarfile

import pytest

from sharding.errors import ShardError
from sharding.tar import member_header, read_member, write_end, write_member


def test_the_standard_library_reads_it_and_offsets_lead_back():
    members = [
        ("000000000.png", b"x" * 700),
        ("000000000.txt", "کتاب".encode()),
        ("000000001.png", b""),
        ("a.txt", b"y" * 512),
    ]
    file, offset, places = io.BytesIO(), 0, []
    for name, content in members:
        at, offset = write_member(file, offset, name, content)
        places.append((at, len(content)))
    write_end(file)
    buffer = file.getvalue()
    assert [bytes(read_member(buffer, at, size)) for at, size in places] == [content for _, content in members]
    with tarfile.open(fileobj=io.BytesIO(buffer)) as tar:
        infos = tar.getmembers()
        assert [(info.name, tar.extractfile(info).read()) for info in infos] == members
        assert [info.offset_data for info in infos] == [at for at, _ in places]
        assert {(info.mtime, info.uid, info.gid, info.mode, info.uname) for info in infos} == {(0, 0, 0, 0o644, "")}


def test_the_header_is_ustar_as_the_standard_library_writes_it():
    info = tarfile.TarInfo("000000042.png")
    info.size = 1234
    assert member_header("000000042.png", 1234) == info.tobuf(tarfile.USTAR_FORMAT)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShardError, match="does not fit"):
        member_header("x" * 100, 1)
    with pytest.raises(ShardError, match="does not fit"):
        member_header("x", 8**11)
    with pytest.raises(ShardError, match="ends before its member"):
        read_member(b"x" * 100, 90, 11)
