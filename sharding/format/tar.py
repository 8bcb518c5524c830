"""A deterministic ustar writer, and the way back by offset.

Header bytes are made by hand: nothing in them depends on the clock, the user or the machine (mtime, uid and gid 0,
mode 0644). tarfile takes 60 us a member; thousands at once take less than 1 us each.
"""

import numpy as np

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


def member_headers(numbers: np.ndarray, suffixes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
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


def _digits(values: np.ndarray, count: int, base: int) -> np.ndarray:
    """[n, count] ASCII digits."""
    digits = np.empty((len(values), count), np.uint8)
    left = values.astype(np.int64)
    for position in range(count - 1, -1, -1):
        rest = left // base
        digits[:, position] = left - rest * base
        left = rest
    return digits + np.uint8(ord("0"))


def padded(sizes: np.ndarray) -> np.ndarray:
    """Sizes rounded up to whole blocks."""
    return -(-sizes // BLOCK) * BLOCK


END = bytes(2 * BLOCK)  # two empty blocks end a tar


def read_member(buffer: memoryview | bytes, offset: int, size: int) -> memoryview:
    """The content of a member of a memory-mapped tar, without a copy. ShardError where the tar ends before it."""
    if offset + size > len(buffer):
        raise ShardError(
            f"a tar of {len(buffer):,} bytes ends before its member at {offset:,}; run: horovod-ocr shard again"
        )
    return memoryview(buffer)[offset : offset + size]
