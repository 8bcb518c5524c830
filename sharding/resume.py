"""What a build leaves in its folder for the next one: build.json, finished shards, and half-written files under other
names.

build.json is the only file of a shard set that speaks of the source as it lies on this machine (sizes and times), so
that a second run knows whether anything has changed.
"""

import hashlib
import json
import os
import re
from pathlib import Path

from sharding.errors import ConfigError, ShardError, SourceError
from sharding.files import write_whole
from sharding.index import INDEX_NAME, ShardIndex, check_shards_present, read_index
from sharding.sources import RawSet
from sharding.split import SPLITS

BUILD_NAME = "build.json"
_SHARD_FILE = re.compile(rf"({'|'.join(SPLITS)})-\d{{6}}\.(tar|idx)")
_LEFT_OVER = re.compile(rf"\.({_SHARD_FILE.pattern}|index\.json|build\.json|rejects\.tsv)\.tmp-\d+")


def fingerprint(raw: RawSet) -> str:
    """A digest of what the source names and of every image file's size and time of change; no image is opened."""
    digest = hashlib.blake2b(f"{raw.layout} {raw.kind}".encode(), digest_size=16)
    root = os.fspath(raw.root)
    for entry in raw.entries:
        try:
            state = os.stat(os.path.join(root, entry.path))
            seen = f"{state.st_size} {state.st_mtime_ns}"
        except (OSError, ValueError):
            seen = "missing"
        digest.update(f"{tuple(entry)!r} {seen}\n".encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def open_build(out: Path, options: dict, source: str, samples: int) -> ShardIndex | None:
    """Make the folder ready for a build, or find that the set is complete already (its index is returned).

    Refuses, and changes nothing: ConfigError where the folder was begun under another option (it names the option),
    SourceError where it holds a complete set of another source, ShardError where shards lie there that nobody can
    vouch for.
    """
    if out.exists() and not out.is_dir():
        raise ShardError(f"{out} is a file; name a folder with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShardError(f"{out} cannot be made ({error.strerror}); name another folder with --out") from error
    before = _read_build(out)
    if before is None:
        if stray := next((name for name in sorted(os.listdir(out)) if _SHARD_FILE.fullmatch(name)), None):
            raise ShardError(f"{out} holds {stray} but no {BUILD_NAME}: not a set made here; name another --out")
        if (out / INDEX_NAME).exists():
            raise ShardError(
                f"{out} holds an {INDEX_NAME} but no {BUILD_NAME}: not a set made here; name another --out"
            )
    else:
        _check_same_options(out, before["options"], options)
        if (out / INDEX_NAME).exists():
            if before["source"] != source:
                raise SourceError(
                    f"{out} holds a complete set of another or an older source ({before['samples']:,} samples then, "
                    f"{samples:,} now, or files changed); name another folder with --out, or delete this one"
                )
            if index := _complete(out):
                return index
    _remove_left_overs(out)
    state = {"options": options, "source": source, "samples": samples}
    write_whole(out / BUILD_NAME, json.dumps(state, ensure_ascii=False, indent=1).encode("utf-8") + b"\n")
    return None


def remove_other_shards(out: Path, names: set[str]) -> None:
    """Delete shards of an earlier, unfinished build that the set does not name any more. Nothing else is touched."""
    for name in os.listdir(out):
        if _SHARD_FILE.fullmatch(name) and name.rsplit(".", 1)[0] not in names:
            (out / name).unlink()


def _read_build(out: Path) -> dict | None:
    path = out / BUILD_NAME
    try:
        state = json.loads(path.read_bytes())
        if (
            isinstance(state["options"], dict)
            and isinstance(state["source"], str)
            and isinstance(state["samples"], int)
        ):
            return state
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        pass
    raise ShardError(f"{path} is damaged; delete the folder {out}, or name another one with --out")


def _check_same_options(out: Path, before: dict, now: dict) -> None:
    # Through JSON, as they were written: a tuple is a list there.
    for name, value in json.loads(json.dumps(now)).items():
        if before.get(name) != value:
            raise ConfigError(
                f"{out} was begun with {name} = {json.dumps(before.get(name))}, now {name} = {json.dumps(value)}; "
                f"give the same {name}, or name another folder with --out"
            )


def _complete(out: Path) -> ShardIndex | None:
    """The index where all it names is there; None where something is missing or cut, which the build then mends."""
    try:
        index = read_index(out)
        check_shards_present(index)
    except ShardError:
        return None
    return index


def _remove_left_overs(out: Path) -> None:
    for name in os.listdir(out):
        if _LEFT_OVER.fullmatch(name):
            (out / name).unlink(missing_ok=True)
