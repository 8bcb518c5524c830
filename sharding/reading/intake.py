"""The one time a source is read: each range of the catalogue becomes a spool file."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from sharding.progress import Progress, Report
from sharding.reading.catalogue import Catalogue
from sharding.reading.labels import LabelCounts
from sharding.reading.sample_reader import Rules, open_sample_reader
from sharding.reading.spool import RangeResult, SpoolWriter, result_of
from sharding.reasons import Rejected
from sharding.system.files import whole_file
from sharding.system.workers import Workers

MOST_ENTRIES = 16_384
_FEWEST_ENTRIES = 512


@dataclass(frozen=True)
class IntakeTask:
    """A range of the catalogue for one worker."""

    catalogue: Catalogue
    """Its folder is absolute, since workers have another working folder."""
    rules: Rules
    """The same for all tasks of a build: a worker keeps its sample reader as long as they are equal."""
    spool: Path
    """Folder of the spool files."""
    first: int
    """Number of its first entry."""
    last: int
    """Number of the entry after its last."""


class SourceRead(NamedTuple):
    """What reading all entries of the catalogue gave."""

    spools: list[Path]
    """The spool files, in the order of their entries in the catalogue."""
    samples: int
    """How many samples the spool files hold."""
    read_bytes: int
    """Of source images."""
    letters: LabelCounts
    """Summed over all ranges."""


def range_size(entries: int) -> int:
    """Entries of one spool file: enough files to share among workers, few enough to open one after the other."""
    return min(max(entries // 16, _FEWEST_ENTRIES), MOST_ENTRIES)


def spool_path(spool: Path | str, first: int) -> str:
    """The spool file of the range that begins with this entry."""
    return f"{spool}/{first:09d}.spool"


def read_source(
    workers: Workers, catalogue: Catalogue, rules: Rules, spool: Path, report: Report, check: Callable[[], None]
) -> SourceRead:
    """Read and check every entry into spool files in the folder `spool`. check: called after each range; what it
    raises ends the reading."""
    spool.mkdir(parents=True, exist_ok=True)
    for left_over in spool.glob(".*.tmp-*"):  # half written by a worker that was killed
        left_over.unlink()
    size, total = range_size(catalogue.entries), catalogue.entries
    firsts = range(0, total, size)
    spool = spool.absolute()  # workers have another working folder
    catalogue = replace(catalogue, folder=catalogue.folder.absolute())
    tasks = (IntakeTask(catalogue, rules, spool, first, min(first + size, total)) for first in firsts)
    done = samples = read_bytes = 0
    reasons: Counter[str] = Counter()
    letters = LabelCounts(Counter(), Counter())
    for result in workers.run(read_range, tasks):
        done, samples, read_bytes = done + result.entries, samples + result.samples, read_bytes + result.read_bytes
        reasons.update(result.rejects)
        letters.folded.update(result.counts.folded)
        letters.refused.update(result.counts.refused)
        report(Progress("reading", done, total, read_bytes, dict(reasons)))
        check()
    return SourceRead([Path(spool_path(spool, first)) for first in firsts], samples, read_bytes, letters)


def read_range(task: IntakeTask) -> RangeResult:
    """Read and check the entries of a range into its spool file, or keep the file that an earlier run has finished."""
    entries = task.last - task.first
    path = Path(spool_path(task.spool, task.first))
    if done := result_of(path, entries):
        return done
    reader = open_sample_reader(task.rules)
    reader.take_counts()
    with whole_file(path, fsyncs_folder=False) as file:
        spool = SpoolWriter(file, task.catalogue.order(task.first, task.last), task.first)
        for entry in task.catalogue.read(task.first, task.last):
            try:
                spool.add(reader.read(entry))
            except Rejected as why:
                spool.reject(task.catalogue.shown(entry), why.reason, why.detail)
        return spool.finish(entries, reader.take_counts())
