"""What a build leaves in its folder for the next one.

In `build/` below the shards: build.json (options, sources and how they were listed), the catalogue, members.bin (the
entry of each sample, uint32, in the order of the keys), a copy of index.json, and while the build runs its lock and the
spool. It is about this machine and not part of the shard set: with it, a second run knows what is done and whether the
source has changed, and a damaged shard can be made again.
"""

import hashlib
import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharding.errors import ShardError
from sharding.format.index import INDEX_NAME, ShardIndex, read_index
from sharding.format.splits import SHARD_FILE
from sharding.layouts.entry import Mark, Source
from sharding.reading.catalogue import Catalogue
from sharding.system.files import write_whole

_LEFT_OVER = re.compile(rf"\.({SHARD_FILE.pattern}|index\.json|rejects\.tsv|duplicates\.tsv)\.tmp-\d+")
_LOCK_LEFT_OVER = re.compile(r"\.lock\.[0-9a-f]{16}")  # that system/lock.py makes for a moment
_LEFT_BEHIND_S = 3600.0
_COMPARED = 5000  # entries whose files' size and time of change are compared when a build is started again
_COMPARED_BLOCKS = 20  # of neighbours


@dataclass(frozen=True)
class BuildFolder:
    """The files of one build."""

    out: Path
    """The folder of the shards."""
    scratch: Path | None = None
    """The folder for the spool; None: inside `out`."""

    @property
    def own(self) -> Path:
        return self.out / "build"

    @property
    def state(self) -> Path:
        return self.own / "build.json"

    @property
    def members(self) -> Path:
        return self.own / "members.bin"

    @property
    def spool(self) -> Path:
        if self.scratch is None:
            return self.own / "spool"
        # one scratch folder may serve several builds
        name = hashlib.sha256(os.fsencode(self.out.absolute())).hexdigest()[:16]
        return self.scratch / f"spool-{name}"

    def remove_spools(self) -> None:
        """Remove the spool, and that of an earlier run under another --scratch: each is as large as the set."""
        for spool in {self.spool, BuildFolder(self.out).spool}:
            shutil.rmtree(spool, ignore_errors=True)

    def forget_reading(self) -> None:
        """Forget what was read and decided: the next run begins anew, under any options."""
        shutil.rmtree(self.spool, ignore_errors=True)
        self.state.unlink()

    def make(self) -> None:
        """Make the folder. ShardError if it cannot belong to a build: it is a file, or holds shards of unknown
        origin."""
        if self.out.exists() and not self.out.is_dir():
            raise ShardError(f"{self.out} is a file; name a folder with --out")
        if self.out.is_dir() and not self.state.exists():
            stray = [name for name in sorted(os.listdir(self.out)) if SHARD_FILE.fullmatch(name) or name == INDEX_NAME]
            if stray:
                raise ShardError(
                    f"{self.out} holds {stray[0]} but no build/build.json: not a set made here; name another --out"
                )
        try:
            self.own.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ShardError(f"{self.out} cannot be made ({error.strerror}); name another --out") from error


@dataclass(frozen=True)
class BuildState:
    """build.json."""

    options: dict[str, Any]
    """Those that shape the bytes."""
    sources: list[dict[str, str]]
    """[{root, layout}] as they were found."""
    listing: list[list[Mark]]
    """For each source the marks (layouts/marks.py) of what it was listed from."""
    images: str
    """Digest of size and time of change of some images, and of the texts beside them."""
    entries: int
    """Number of entries of the catalogue."""


def read_state(folder: BuildFolder) -> BuildState | None:
    """What an earlier run has left; None if there was none. ShardError if it is damaged, or of another version."""
    what = "is damaged"
    try:
        state = BuildState(**json.loads(folder.state.read_bytes()))
        if isinstance(state.options, dict) and isinstance(state.sources, list):
            if isinstance(state.options.get("asked"), dict):
                return state
            what = "is of another version of this program"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError):
        pass
    raise ShardError(f"{folder.state} {what}; delete the folder {folder.out}, or name another one with --out")


def write_state(folder: BuildFolder, state: BuildState) -> None:
    content = json.dumps(vars(state), separators=(",", ":"))  # compact: the marks may take megabytes
    write_whole(folder.state, content.encode() + b"\n")


def are_as_listed(sources: list[Source], state: BuildState) -> bool:
    """Are these the sources of the earlier run, and would they be listed as they were then? Scans no folder."""
    if len(sources) != len(state.listing):
        return False
    return all(source.is_as_listed(marks) for source, marks in zip(sources, state.listing, strict=True))


def holds_shards(out: Path) -> bool:
    """Has a build already written a shard or an index?"""
    return any(SHARD_FILE.fullmatch(name) or name == INDEX_NAME for name in os.listdir(out))


def images_seen(sources: list[Source], catalogue: Catalogue) -> str:
    """A digest of size and time of change of _COMPARED images, spread over the catalogue, and of the texts beside them;
    of all if there are fewer.

    To ask for each of 35 million would take the file server an hour. Images that are not files of their own are
    skipped: the marks of their tars say more.
    """
    digest = hashlib.blake2b(digest_size=16)
    blocks = 1 if catalogue.entries <= _COMPARED else _COMPARED_BLOCKS
    size = min(_COMPARED // blocks, catalogue.entries)
    firsts = {(catalogue.entries - size) * block // max(1, blocks - 1) for block in range(blocks)}
    roots = [os.open(source.root, os.O_RDONLY | os.O_CLOEXEC) for source in sources]
    try:
        for first in sorted(firsts):
            for entry in catalogue.read(first, first + size):
                source = sources[entry.source]
                if not source.images_are_files:
                    continue
                paths = [entry.path]
                if source.labels_apart and entry.label is not None and not entry.problem:
                    paths.append(entry.label)
                for path in paths:
                    digest.update(b"%s\0%s\0" % (path, _seen(path, roots[entry.source])))
    finally:
        for root in roots:
            os.close(root)
    return digest.hexdigest()


def _seen(path: bytes, root: int) -> bytes:
    try:
        state = os.stat(path, dir_fd=root)
    except (OSError, ValueError):
        return b"missing"
    return b"%d %d" % (state.st_size, state.st_mtime_ns)


def restore_index(folder: BuildFolder) -> ShardIndex | None:
    """The index of a finished build, from its copy if it was lost; None if the build is not finished."""
    copy = folder.own / INDEX_NAME
    if not copy.exists():
        return None
    try:
        return read_index(folder.out)
    except ShardError:
        write_whole(folder.out / INDEX_NAME, copy.read_bytes())
        return read_index(folder.out)


def keep_index(folder: BuildFolder) -> None:
    """The last act of a build: copy the index, and remove the spool."""
    write_whole(folder.own / INDEX_NAME, (folder.out / INDEX_NAME).read_bytes())
    folder.remove_spools()


def remove_left_overs(out: Path) -> None:
    """Delete what a killed run has half written. Under the lock of the build."""
    for name in os.listdir(out):
        if _LEFT_OVER.fullmatch(name):
            (out / name).unlink(missing_ok=True)
    with suppress(FileNotFoundError):  # other processes that try for the lock come and go
        own = BuildFolder(out).own
        now_s = (own / "lock").stat().st_mtime  # by the server's clock
        for path in filter(lambda path: _LOCK_LEFT_OVER.fullmatch(path.name), own.iterdir()):
            if path.stat().st_mtime < now_s - _LEFT_BEHIND_S:  # else it may be in use
                path.unlink()


def remove_other_shards(out: Path, names: set[str]) -> None:
    """Delete shards of an earlier, unfinished build that the set no longer names. Nothing else is touched."""
    for name in os.listdir(out):
        if SHARD_FILE.fullmatch(name) and name.rsplit(".", 1)[0] not in names:
            (out / name).unlink()
