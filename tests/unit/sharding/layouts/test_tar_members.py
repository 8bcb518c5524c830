"""Members of any tar are found where tarfile finds them; a tar that is damaged says where."""

import io
import os
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharding.layouts import tar_members
from sharding.layouts.tar_members import BufferedFile, DamagedTarError, TarReader, read_members
from sharding.reasons import Rejected

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def write_tar(path, files: dict[str, bytes], tar_format: int = tarfile.USTAR_FORMAT, **pax) -> None:
    with tarfile.open(path, "w", format=tar_format, **pax) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def members_of(path) -> list:
    with open(path, "rb") as file:
        return list(read_members(BufferedFile(file.fileno())))


names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=80)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@pytest.mark.slow
@given(
    files=st.dictionaries(paths, st.binary(max_size=1500), min_size=1, max_size=8),
    tar_format=st.sampled_from(FORMATS[1:]),
)
def test_as_tarfile_sees_them(tmp_path_factory, files, tar_format):
    path = tmp_path_factory.getbasetemp() / "any.tar"
    write_tar(path, files, tar_format, pax_headers={"comment": "global"} if tar_format == tarfile.PAX_FORMAT else None)
    with tarfile.open(path) as tar:
        expected = [(os.fsencode(m.name), m.offset_data, m.size) for m in tar.getmembers()]
    assert [tuple(member)[:3] for member in members_of(path)] == expected


def test_the_prefix_of_ustar(tmp_path):
    name = "f" * 90 + "/" + "g" * 90
    write_tar(tmp_path / "a.tar", {name: b"x"})
    assert [member.name for member in members_of(tmp_path / "a.tar")] == [name.encode()]


def test_links_and_devices_say_so_and_folders_are_left_out(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind in (
            ("d", tarfile.DIRTYPE),
            ("s", tarfile.SYMTYPE),
            ("h", tarfile.LNKTYPE),
            ("p", tarfile.FIFOTYPE),
            ("f", tarfile.REGTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "other.png"
            tar.addfile(member)
    assert [(member.name, member.link) for member in members_of(tmp_path / "a.tar")] == [
        (b"s", b"symbolic link to other.png"),
        (b"h", b"hard link to other.png"),
        (b"p", b"no regular file (type '6')"),
        (b"f", b""),
    ]


def test_tars_one_behind_the_other(tmp_path):
    content = b""
    for number in range(3):
        write_tar(tmp_path / "a.tar", {str(number): b"x"})
        content += (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(content)
    assert [member.name for member in members_of(tmp_path / "a.tar")] == [b"0", b"1", b"2"]
    (tmp_path / "a.tar").write_bytes(content + bytes(300_000))
    assert len(members_of(tmp_path / "a.tar")) == 3
    (tmp_path / "a.tar").write_bytes(content + bytes(2048) + b"x" * 600)
    with pytest.raises(DamagedTarError) as error:
        members_of(tmp_path / "a.tar")
    assert error.value.at == len(content) + 2048


def test_sizes_beyond_octal_digits(tmp_path):
    big = 9 << 30
    for tar_format in FORMATS[1:]:
        path = tmp_path / f"{tar_format}.tar"
        member = tarfile.TarInfo("big.png")
        member.size = big
        with open(path, "wb") as file:
            file.write(member.tobuf(tar_format))
            file.truncate(file.tell() + big)
            file.seek(0, os.SEEK_END)
            file.write(tarfile.TarInfo("after").tobuf(tar_format) + bytes(1024))
        assert [(m.name, m.size) for m in members_of(path)] == [(b"big.png", big), (b"after", 0)]


def test_a_cut_gives_what_is_whole_and_says_where(tmp_path):
    path = tmp_path / "a.tar"
    write_tar(path, {"1": b"a" * 600, "2": b"b" * 600, "3": b""})
    content = path.read_bytes()[: 2 * 1536 + 512]
    for size in range(0, len(content), 16):
        path.write_bytes(content[:size])
        with open(path, "rb") as file:
            found = []
            with pytest.raises(DamagedTarError) as error:
                for member in read_members(BufferedFile(file.fileno())):
                    found.append(member)
        whole = [end for end in (512 + 600, 1536 + 512 + 600) if end <= size]
        assert len(found) == len(whole)
        assert error.value.at in (0, 1536, 3072)
        assert all(member.at + member.size <= size for member in found)


@pytest.mark.parametrize("position", [0, 100, 124, 130, 148, 156, 300])
def test_a_flipped_bit_in_a_header(tmp_path, position):
    path = tmp_path / "a.tar"
    write_tar(path, {"1": b"a" * 600, "2": b"b" * 600})
    content = bytearray(path.read_bytes())
    content[1536 + position] ^= 4
    path.write_bytes(content)
    with open(path, "rb") as file, pytest.raises(DamagedTarError) as error:
        list(read_members(BufferedFile(file.fileno())))
    assert error.value.at == 1536


def test_the_reader_reads_by_offset_with_few_open_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_members, "_OPEN_FILES", 2)
    for number in range(5):
        (tmp_path / f"{number}.tar").write_bytes(bytes([number]) * 100)
    before = len(os.listdir("/proc/self/fd"))
    reader = TarReader(tmp_path, [f"{number}.tar" for number in range(5)])
    for number in (0, 1, 2, 3, 4, 0, 4):
        assert reader.read_image(b"%d.tar/x.png" % number, 90, 10) == bytes([number]) * 10
        assert len(os.listdir("/proc/self/fd")) <= before + 2
    for path, at, size, reason in (
        (b"0.tar/x.png", 95, 10, "damaged image"),
        (b"0.tar/x.png", 95, 0, "empty file"),
        (b"0.tar/x.png", 0, 1 << 40, "too many pixels"),
        (b"9.tar/x.png", 0, 10, "missing image"),
    ):
        with pytest.raises(Rejected) as error:
            reader.read_image(path, at, size)
        assert error.value.reason == reason
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_tars_in_folders(tmp_path):
    for path, content in (("a.tar/b.tar", b"12"), ("a/b.tar", b"34"), ("c.tar", b"56")):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    reader = TarReader(tmp_path, ["a.tar/b.tar", "a/b.tar", "c.tar"])
    paths = (b"a.tar/b.tar/x/y.tar/z.png", b"a/b.tar/x.png", b"c.tar/b.tar/x.png")
    assert [reader.read_image(path, 1, 1) for path in paths] == [b"2", b"4", b"6"]
    reader.close()
