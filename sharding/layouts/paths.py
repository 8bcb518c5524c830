"""Where the paths of a label file lead.

They may have been written on another machine: with backslashes, relative to another folder, with the folders of that
machine in front, or without the suffix. Some of them are looked up on the disk, and one rule for all paths of the file
follows. If more than one rule fits, the source is refused.
"""

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from sharding.errors import SourceError
from sharding.layouts.folders import SOURCE_SUFFIXES, is_image, list_folder
from sharding.layouts.naming import other_spellings

_LOOKED_FOR = 60  # paths of a file that are looked up, spread over its first lines
_MOST = 0.9  # of them must exist for a rule to fit
_NEARLY_ALL, _MANY = 0.95, 0.5  # of them are where they should be
_FOLDERS = 2_000  # that are looked through for a prefix
needs_normalising = re.compile(rb"\\|\./|\.\.|//").search  # of a path: a third of the time of four `in`


def normal_path(path: bytes) -> bytes:
    """A path without `./`, `//` and `a/../`, so that one image has one name."""
    return posixpath.normpath(path) if needs_normalising(path) else path


def canonical_path(path: bytes) -> bytes:
    """One spelling for all spellings of a path: slashes, no `./`, and Unicode's NFC. For comparison, not to open."""
    if path.isascii():
        return posixpath.normpath(path.replace(b"\\", b"/")) if needs_normalising(path) else path
    text = posixpath.normpath(path.replace(b"\\", b"/")).decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")


class PathRule:
    """Turns the paths of one label file into paths relative to the source's root, or absolute ones.

    root: of the source. folder: of the label file, relative to root, with a slash at its end. paths: some of the
    file's. shown: its name. images: the folder that a person has said they are relative to.
    """

    def __init__(
        self, root: Path, folder: bytes, paths: Sequence[bytes], shown: str, images: Path | None = None
    ) -> None:
        self._root, self._real_root = os.fsencode(root), os.path.realpath(os.fsencode(root))
        self.prefix, self.note = folder, ""  # note: what a person should know; mostly ""
        self._cut = self._suffix = b""
        self._backslashes = True
        step = -(-len(paths) // _LOOKED_FOR) or 1
        some = list(dict.fromkeys(path.strip() for path in paths[::step] if path.strip()))
        with_backslash = [path for path in some if b"\\" in path]
        if with_backslash:  # a letter of a name on Linux, if there is such a file
            self._backslashes = not any(self._is_there(folder + path) for path in with_backslash)
        some = [normal_path(self._slashes(path)) for path in some]
        if images is not None:
            self.prefix = self._relative(images)
        if not some or (found := self._found([self(path) for path in some])) >= _NEARLY_ALL:
            return
        if found >= _MANY:  # the others are missing images, unless another place has more
            self._check_no_better_place(folder, some, found, shown)
            return
        fits = list(self._cuts(some) if images is not None else self._others(folder, some))
        if len({(prefix, cut) for prefix, cut, _, _ in fits}) > 1:
            ways = " and ".join(note for *_, note in fits[:2])
            raise SourceError(f"{shown} may be meant in two ways: {ways}; say which: --images FOLDER")
        if fits:
            self.prefix, self._cut, self._suffix, note = fits[0]
            self.note = f"{shown}: {note}" if note else ""
        elif images is None:
            self._refuse_other_machine(some, shown)

    @property
    def is_plain(self) -> bool:
        """Is a path that needs no normalising right as it is?"""
        return not (self.prefix or self._cut or self._suffix)

    def __call__(self, path: bytes) -> bytes:
        """The path of one line, without blanks around it."""
        if needs_normalising(path):
            path = posixpath.normpath(self._slashes(path))
        if self._cut:
            path = path.removeprefix(self._cut)
        if self._suffix and not is_image(path):
            path += self._suffix
        if self.prefix and not path.startswith(b"/"):
            path = normal_path(self.prefix + path)
        if path.startswith((b"/", b"../")):  # an image has one name, whichever path leads to it
            path = self._short(path)
        return path

    def _short(self, path: bytes) -> bytes:
        """The shortest form of a path that leads out of the source and perhaps in again."""
        whole = posixpath.normpath(os.path.join(self._root, path))
        for root in (self._root, self._real_root):
            if whole.startswith(root + b"/"):
                return whole[len(root) + 1 :]
        return whole if path.startswith(b"/") else os.path.relpath(whole, self._root)

    def _slashes(self, path: bytes) -> bytes:
        return path.replace(b"\\", b"/") if self._backslashes else path

    def _relative(self, images: Path) -> bytes:
        """The prefix of a folder: relative to root if it is inside."""
        absolute = os.path.abspath(os.fsencode(images))
        for root in (self._root, self._real_root):
            if absolute == root or absolute.startswith(root + b"/"):
                return absolute[len(root) + 1 :] + b"/" if absolute != root else b""
        return absolute + b"/"

    def _is_there(self, path: bytes) -> bool:
        try:
            return any(os.path.lexists(os.path.join(self._root, each)) for each in (path, *other_spellings(path)))
        except ValueError:  # a NUL
            return False

    def _found(self, paths: Sequence[bytes]) -> float:
        """The share of these paths, relative to root, that exist."""
        return sum(map(self._is_there, paths)) / len(paths)

    def _check_no_better_place(self, folder: bytes, some: list[bytes], found: float, shown: str) -> None:
        """SourceError if many pictures are where they should be, and nearly all are in another place."""
        for prefix, cut, suffix, _ in self._others(folder, some):
            if not suffix and self._found([prefix + path.removeprefix(cut) for path in some]) > found:
                raise SourceError(
                    f"{shown}: {found:.0%} of the pictures are below {os.fsdecode(self.prefix) or 'the top'}, and more "
                    f"of that name below {os.fsdecode(prefix) or 'the top'}; say which are meant: --images FOLDER"
                )

    def _others(self, folder: bytes, some: list[bytes]) -> Iterator[tuple[bytes, bytes, bytes, str]]:
        """(prefix, what is cut off, suffix, a note) of each rule by which most pictures are found."""
        if folder and self._found(some) >= _MOST:
            yield b"", b"", b"", ""
            return
        suffixes = [
            suffix
            for suffix in sorted({each for low in SOURCE_SUFFIXES for each in (low, low.upper())})
            if self._found([folder + path if is_image(path) else folder + path + suffix for path in some]) >= _MOST
        ]
        if len(suffixes) == 1:
            yield folder, b"", suffixes[0], f"pictures are named without their suffix {suffixes[0].decode()}"
            return
        own = {self._root.rpartition(b"/")[2], folder.rstrip(b"/").rpartition(b"/")[2]} - {b""}
        cuts = [rule for rule in self._cuts(some) if rule[1].rstrip(b"/").rpartition(b"/")[2] in own]
        if cuts:
            yield cuts[0]
            return
        for below in self._folders_below():
            if self._found([below + path for path in some]) >= _MOST:
                yield below, b"", b"", f"the pictures are in {os.fsdecode(below)}"

    def _cuts(self, some: list[bytes]) -> Iterator[tuple[bytes, bytes, bytes, str]]:
        """The paths without the folders in front that all of them have."""
        folders = [path.rpartition(b"/")[0] + b"/" for path in some if b"/" in path] or [b""]
        common = os.path.commonprefix(folders)
        if any(b"/" not in path for path in some):
            return
        for position, letter in enumerate(common):
            if letter != ord("/"):
                continue
            cut = folders[0][: position + 1]
            if self._found([self.prefix + path.removeprefix(cut) for path in some]) >= _MOST:
                yield self.prefix, cut, b"", f"the paths are read without {os.fsdecode(cut)} in front"
                return

    def _folders_below(self) -> Iterator[bytes]:
        """Folders of the source with a slash at the end, from the top down."""
        pending, seen = [b""], 0
        while pending and seen < _FOLDERS:
            path = pending.pop(0)
            seen += 1
            if path:
                yield path
            pending += [path + name + b"/" for name in list_folder(self._root, path.rstrip(b"/")).folders]

    def _refuse_other_machine(self, some: list[bytes], shown: str) -> None:
        """SourceError if the pictures would be found without folders in front that are not the source's own: they may
        be others with the same names."""
        for _, cut, _, _ in self._cuts(some):
            raise SourceError(
                f"{shown}: no picture is where it says ({os.fsdecode(self.prefix + some[0])}); without "
                f"{os.fsdecode(cut)} in front they would be found, and may be others by the same names. If they are "
                f"the right ones: --images {os.fsdecode(self._root)}"
            )
