"""A deterministic ustar writer, and where a tar holds its members.

Header bytes are made by hand: nothing in them depends on the clock, the user or the machine (mtime, uid and gid 0,
mode 0644). tarfile takes 60 us a member; thousands at once take less than 1 us each.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharding.errors import ShardError

BLOCK = 512
END = bytes(2 * BLOCK)  # two empty blocks end a tar
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


def member_name(header: bytes) -> str:
    """The name in a header that `member_header` made. ShardError if the header is cut short."""
    if len(header) < BLOCK:
        raise ShardError("a tar ends inside a header; run: horovod-ocr verify")
    return header[:100].partition(b"\0")[0].decode("ascii", "replace")


def member_headers(numbers: NDArray[Any], suffixes: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.uint8]:
    """The headers of many members at once, uint8 [n, 512]: what `member_header` gives for `NNNNNNNNN.suffix`.

    numbers: of nine digits at most, else ShardError. suffixes: bytes "S3" [n]. sizes: of the contents in bytes.
    """
    if len(numbers) and not (0 <= int(numbers.min()) and int(numbers.max()) < 10**9):
        raise ShardError(f"a shard set holds at most {10**9:,} samples")
    blank = np.frombuffer(member_header(9 * "\1" + ".\1\1\1", 0), np.uint8).copy()
    blank[[*range(9), *range(10, 13), *range(124, 135), *range(148, 156)]] = 0  # number, suffix, size, checksum
    filled = np.empty((len(numbers), 9 + 3 + 11), np.uint8)
    filled[:, :9] = _digits(numbers, 9, 10)
    filled[:, 9:12] = np.ascontiguousarray(suffixes, "S3").view(np.uint8).reshape(-1, 3)
    filled[:, 12:] = _digits(sizes, 11, 8)
    # the checksum field itself counts as eight spaces
    sums = filled.sum(axis=1, dtype=np.int32) + int(blank.sum()) + 8 * ord(" ")
    headers = np.repeat(blank[None], len(numbers), axis=0)
    headers[:, :9], headers[:, 10:13], headers[:, 124:135] = filled[:, :9], filled[:, 9:12], filled[:, 12:]
    headers[:, 148:154], headers[:, 155] = _digits(sums, 6, 8), ord(" ")
    return headers


def _digits(values: NDArray[Any], count: int, base: int) -> NDArray[np.uint8]:
    """[n, count] ASCII digits."""
    digits = np.empty((len(values), count), np.uint8)
    left = values.astype(np.int64)
    for position in range(count - 1, -1, -1):
        rest = left // base
        digits[:, position] = left - rest * base
        left = rest
    return digits + np.uint8(ord("0"))


def padded(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sizes rounded up to whole blocks."""
    return -(-sizes // BLOCK) * BLOCK


def lay_out(sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(offset of the contents, end with padding) of the members of a tar, both of the shape of `sizes` ([n, 2]: image
    and label of each sample), in the order of the tar."""
    ends = np.cumsum(BLOCK + padded(sizes).ravel()).reshape(sizes.shape)
    return ends - padded(sizes), ends
