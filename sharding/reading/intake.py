"""The one reading of the source: a range of the catalogue -> a spool file."""

from dataclasses import dataclass
from pathlib import Path

from sharding.reading.catalogue import Catalogue
from sharding.reading.inspection import Rules, inspector_for
from sharding.reading.spool import RangeResult, SpoolWriter, result_of
from sharding.reasons import Rejected
from sharding.system.files import whole_file

MOST_ENTRIES = 16_384
_FEWEST_ENTRIES = 512


@dataclass(frozen=True)
class IntakeTask:
    """A range of the catalogue for one worker, and the folder of the spool."""

    catalogue: Catalogue
    rules: Rules
    spool: Path
    first: int
    last: int


def range_size(entries: int) -> int:
    """Entries a spool file: enough files to share among workers, few enough to count."""
    return min(max(entries // 16, _FEWEST_ENTRIES), MOST_ENTRIES)


def spool_path(spool: Path | str, first: int) -> str:
    """Where the range that begins with this entry is spooled."""
    return f"{spool}/{first:09d}.spool"


def read_range(task: IntakeTask) -> RangeResult:
    """Read and check the entries of a range into its spool file, or keep the one an earlier run has finished."""
    entries = task.last - task.first
    path = Path(spool_path(task.spool, task.first))
    if done := result_of(path, entries):
        return done
    inspector = inspector_for(task.rules)
    inspector.take_counts()
    inspect = inspector.inspect
    with whole_file(path, fsyncs_folder=False) as file:
        spool = SpoolWriter(file, task.catalogue.order(task.first, task.last), task.first)
        for entry in task.catalogue.read(task.first, task.last):
            try:
                spool.add(inspect(entry))
            except Rejected as why:
                spool.reject(task.catalogue.shown(entry), why.reason, why.detail)
        return spool.finish(entries, inspector.take_counts())
