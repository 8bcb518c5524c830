"""The files of a zip, as they are needed, and never more than is allowed.

A zip is data of a stranger: its directory is measured before zipfile reads it, sizes are counted as the directory
gives them and again while a file inflates, and only methods that need little memory are allowed.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from horovod_ocr.serve.bodies import MOST_NAME, NamedFile, too_many_files
from horovod_ocr.serve.failures import ApiError, too_large
from horovod_ocr.serve.settings import ServeSettings

ZIP_MAGIC = b"PK\x03\x04"
_END = struct.Struct("<4s4H2LH")
_ENTRY_BYTES = 512  # of the directory, for a file; more than names usually take
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)


def is_zip(content: bytes) -> bool:
    """By its first bytes."""
    return content.startswith((ZIP_MAGIC, b"PK\x05\x06"))


@dataclass
class Archive:
    """A zip whose directory was read."""

    zip: zipfile.ZipFile
    """Of the bytes."""
    entries: list[zipfile.ZipInfo]
    """Its files, without folders and what systems put beside files."""
    settings: ServeSettings
    """The limits."""

    @property
    def inflated_bytes(self) -> int:
        """Of all its files, as its directory says; none of them inflates to more."""
        return sum(entry.file_size for entry in self.entries)

    def files(self) -> Iterator[NamedFile]:
        """Its files in order, each inflated when it is asked for."""
        for entry in self.entries:
            yield NamedFile(entry.filename[:MOST_NAME], self._inflate(entry))

    def _inflate(self, entry: zipfile.ZipInfo) -> bytes | ApiError:
        if entry.flag_bits & 1:
            return ApiError(422, "encrypted", "the file is encrypted")
        if entry.compress_type not in _METHODS:
            return ApiError(422, "compression", "the file is compressed by another method than deflate")
        most = self.settings.max_bytes
        if entry.file_size > most:
            return too_large("the file", most, "--max-bytes")
        try:
            with self.zip.open(entry) as file:
                content = file.read(most + 1)
        except _DAMAGE as error:
            return ApiError(422, "damaged_zip", f"the file cannot be taken out of the zip ({error})")
        if len(content) > most:
            return too_large("the file", most, "--max-bytes")
        if is_zip(content):
            return ApiError(422, "nested_zip", "a zip within a zip is not opened")
        return content


def open_archive(content: bytes, settings: ServeSettings) -> Archive:
    """The directory of a zip. ApiError 400 if it is none, 413 if it holds too much."""
    end = content.rfind(b"PK\x05\x06", max(0, len(content) - 65557))
    if end < 0 or len(content) - end < _END.size:
        raise ApiError(400, "damaged_zip", "not a whole zip: its directory is missing")
    if content[max(0, end - 20) :].startswith(b"PK\x06\x07"):  # it would overrule the numbers that are checked here
        raise ApiError(400, "zip64", "a zip of the ZIP64 format is not opened; small zips do not need it")
    _, _, _, _, count, directory_bytes, _, _ = _END.unpack_from(content, end)
    if count > settings.max_files * 2 or directory_bytes > settings.max_files * _ENTRY_BYTES:
        raise too_many_files(settings.max_files)
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except _DAMAGE as error:
        raise ApiError(400, "damaged_zip", f"not a whole zip ({error})") from error
    entries = [entry for entry in archive.infolist() if not _is_beside(entry)]
    if len(entries) > settings.max_files:
        raise too_many_files(settings.max_files)
    return Archive(archive, entries, settings)


def _is_beside(entry: zipfile.ZipInfo) -> bool:
    """Folders, and what macOS adds. (ZipInfo.is_dir fails for an empty name.)"""
    return (
        entry.filename.endswith("/") or entry.filename.startswith("__MACOSX/") or entry.filename.endswith(".DS_Store")
    )
