"""One build at a time in a folder, whichever machines see it: a lock that holds over NFS.

The lock is a file: made with link(2), which the server does as one step, and renewed every 10 s by its owner. A lock
whose owner is gone is taken over: at once if the owner ran on this machine, else when the file's time of change has not
moved for 45 s. That time is only ever compared with itself: the clocks of several machines do not agree.

Why not a library: filelock and portalocker use flock or fcntl, which some NFS mounts keep local to a machine, and
filelock's soft lock waits for ever for an owner that died on another machine. flufl.lock also uses link(2), but
compares lifetimes by the clocks of both machines, and renews nothing by itself.

Why not psutil: it tells when a process started only by the clock of the day, which may be set while the process runs,
and it takes a process that /proc hides (hidepid) for a dead one. Either could take the lock from a living owner.
"""

import errno
import getpass
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from sharding.errors import ShardError

BEAT_S = 10.0
STILL_S = 45.0  # more than four beats missed
_PUT_BACK_S = 0.5
_ATTEMPTS = 100
_NO_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))


@contextmanager
def build_lock(
    path: Path,
    what: str,
    tell: Callable[[str], None] | None = None,
    still_s: float = STILL_S,
    beat_s: float = BEAT_S,
) -> Iterator["BuildLock"]:
    """Hold the lock file `path` while the block runs; what: the command, for sentences to people.

    ShardError if another process holds it and lives. tell: called with a sentence if that takes time to find out, or if
    a dead owner's lock is taken over.
    """
    content = _describe_this_process()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _acquire(path, what, content, still_s, tell or (lambda sentence: None))
    except OSError as error:
        raise ShardError(
            f"{path} cannot be made ({error.strerror}); fix that, or name another folder with --out, then run the same "
            f"{what} again"
        ) from error
    lock = BuildLock(path, what, content, beat_s)
    try:
        yield lock
    finally:
        lock.release()


class BuildLock:
    """A lock that is held. Made by `build_lock`."""

    def __init__(self, path: Path, what: str, content: bytes, beat_s: float) -> None:
        self._path, self._what, self._content, self._beat_s = path, what, content, beat_s
        self._pid = os.getpid()
        self._lost = ""
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="build lock", daemon=True)
        self._heart.start()

    def check(self) -> None:
        """ShardError if the lock is no longer ours. Call it before anything is made durable: it asks the server."""
        if not self._lost:
            try:
                self._lost = self._find_loss()
            except OSError as error:
                raise ShardError(
                    f"{self._path} cannot be read ({error.strerror}); fix that, then run the same {self._what} again"
                ) from error
        if self._lost:
            raise ShardError(self._lost)

    def release(self) -> None:
        """Give the lock back, if it is still ours. Does nothing in a forked child: the lock is its parent's."""
        if os.getpid() != self._pid:
            return
        self._stop.set()
        self._heart.join()
        with suppress(OSError):  # a lock that stays is taken over by the next build
            _remove(self._path, self._content)

    def _beat(self) -> None:
        while not self._lost and not self._stop.wait(self._beat_s):
            with suppress(OSError):  # a server that is away for a while takes no lock from us
                self._lost = self._find_loss()
                if not self._lost:
                    os.utime(self._path)  # without a time: the server's clock sets it

    def _find_loss(self) -> str:
        """Why the lock is no longer ours, as a sentence; "" if it is ours."""
        seen = _read_lock(self._path)
        if seen is None:  # perhaps moved by a process that was late for an older lock: it puts it back at once
            time.sleep(_PUT_BACK_S)
            seen = _read_lock(self._path)
        if seen is not None and seen.content == self._content:
            return ""
        why = "was deleted" if seen is None else f"was taken over by {_name(seen.content)}"
        return f"{self._path} {why}; this {self._what} stops: when no other one is running, run it again"


class _Owner(NamedTuple):
    """Who holds a lock."""

    host: str
    """Name of the machine."""
    boot: str
    """The run of the kernel that `pid` belongs to; "" on a machine without /proc."""
    namespace: str
    """The set of process ids that `pid` belongs to."""
    pid: int
    """Of the process, in that set; above 0."""
    started: int
    """The start of the process in clock ticks after boot, since a pid is used again."""
    user: str
    """Login name, or `uid` and a number if it has none."""
    since: str
    """For people only."""
    token: str
    """Random, so that no two locks have the same content."""

    @property
    def pid_space(self) -> tuple[str, str, str]:
        return self.host, self.boot, self.namespace


class _LockFile(NamedTuple):
    """A lock file at one moment."""

    mtime_ns: int
    """It changes as long as the owner lives."""
    content: bytes
    """An `_Owner` as JSON, unless it is damaged."""


def _describe_this_process() -> bytes:
    namespace = boot = ""  # without /proc, locks are judged by their heartbeat
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in passwd
        user = f"uid {os.getuid()}"
    pid = os.getpid()
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    started = _start_ticks(pid) or 0
    owner = _Owner(socket.gethostname(), boot, namespace, pid, started, user, since, secrets.token_hex(16))
    return json.dumps(owner._asdict()).encode() + b"\n"


def _owner_of(content: bytes) -> _Owner | None:
    """None if the content is not usable: cut short on a full disk, or not a lock of ours."""
    try:
        owner = _Owner(**json.loads(content))
    except (ValueError, TypeError):
        return None
    is_valid = all(isinstance(value, kind) for value, kind in zip(owner, _Owner.__annotations__.values(), strict=True))
    return owner if is_valid and owner.pid > 0 else None


def _name(content: bytes) -> str:
    owner = _owner_of(content)
    if owner is None:
        return "a process that cannot be named (the lock's content is damaged)"
    return f"pid {owner.pid} of {owner.user} on {owner.host}, since {owner.since}"


def _acquire(path: Path, what: str, content: bytes, still_s: float, tell: Callable[[str], None]) -> None:
    """Place the lock, after removing one whose owner is dead. ShardError if the owner lives."""
    for _ in range(_ATTEMPTS):
        if _place(path, content):
            return
        seen = _read_lock(path)
        if seen is None:
            time.sleep(0.01)  # released just now, which NFS may not show yet
        elif _is_stale(path, what, seen, still_s, tell):
            tell(f"{path}: its owner is gone ({_name(seen.content)}); taken over")
            _remove(path, seen.content)
    raise ShardError(f"{path} can neither be made nor read; delete it, then run the same {what} again")


def _is_stale(path: Path, what: str, seen: _LockFile, still_s: float, tell: Callable[[str], None]) -> bool:
    """Is the owner of this lock dead? ShardError if it lives; False if the lock changed hands meanwhile."""
    owner = _owner_of(seen.content)
    runs = _is_running(owner) if owner else None
    if runs is None:
        tell(
            f"{path} is held by {_name(seen.content)}; whether it still runs cannot be seen from here: watching for up "
            f"to {still_s:g} s"
        )
        now = _watch(path, seen, still_s)
        if now is None or now.content != seen.content:
            return False
        runs = now.mtime_ns != seen.mtime_ns
    if runs:
        raise ShardError(
            f"{path}: another {what} works in this folder: {_name(seen.content)}; wait until it is done or end it "
            "there, then run the same command again"
        )
    return True


def _is_running(owner: _Owner) -> bool | None:
    """None if that cannot be told from here: another machine, another container, or a hidden process."""
    here = _owner_of(_describe_this_process())
    if not owner.boot or not here or owner.pid_space != here.pid_space:
        return None
    if (ticks := _start_ticks(owner.pid)) is not None:
        return ticks == owner.started
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return None  # it exists, but /proc does not show it


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; 0 for a zombie, None if it is not visible."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    state, *fields = stat[stat.rindex(b")") + 2 :].split()  # the name in brackets may hold anything
    return 0 if state in (b"Z", b"X") else int(fields[18])


def _watch(path: Path, seen: _LockFile, still_s: float) -> _LockFile | None:
    """The lock as soon as it changes; or unchanged, if it did not change all the time."""
    end = time.monotonic() + still_s
    while (now := _read_lock(path)) == seen and time.monotonic() < end:
        time.sleep(still_s / 50)
    return now


def _read_lock(path: Path) -> _LockFile | None:
    """The file, None if there is none. Opened each time: that asks the server, where stat may answer from memory."""
    try:
        with path.open("rb") as file:
            return _LockFile(os.fstat(file.fileno()).st_mtime_ns, file.read(1 << 16))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):
            return None
        raise


def _place(path: Path, content: bytes) -> bool:
    """Make the file, whole; False if it exists already. Of several at the same time one succeeds, over NFS too."""
    unique = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_new(unique, content)
        if (placed := _link(unique, path)) is not None:
            return placed
    finally:
        unique.unlink(missing_ok=True)
    try:
        _write_new(path, content)
    except FileExistsError:
        return False
    return True


def _link(unique: Path, path: Path) -> bool | None:
    """Give a file that only we know a second name; False if that is taken, None if there are no links."""
    try:
        os.link(unique, path)
    except OSError as error:
        if os.stat(unique).st_nlink == 2:  # done, only the server's answer was lost: see open(2) on O_EXCL
            return True
        if isinstance(error, FileExistsError):
            return False
        if error.errno in _NO_LINKS:
            return None
        raise
    return True


def _write_new(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _remove(path: Path, content: bytes) -> None:
    """Remove the lock with this content. If another's lock is there by now, it is put back as it was."""
    moved = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with suppress(FileNotFoundError):  # gone; or moved, and only the server's answer was lost
        os.rename(path, moved)
    if seen := _read_lock(moved):
        if seen.content != content and _link(moved, path) is None:
            _place(path, seen.content)
        moved.unlink(missing_ok=True)
