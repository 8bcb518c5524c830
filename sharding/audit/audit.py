"""The audit before a build: what would be packed, what would be rejected and why, and what the labels are like.

It lists and reads the source as build.py does, each image once, and writes nothing but a catalogue in a temporary
folder. Of each entry 22 bytes stay in memory (arrays); everything else is only counted.
"""

import tempfile
from pathlib import Path

from sharding.audit.result import Audit
from sharding.audit.run import AuditRun
from sharding.audit.scan import WatchedSource
from sharding.building.list_sources import list_sources
from sharding.building.resolve import find_sources, rules_of
from sharding.errors import ConfigError
from sharding.options import ShardOptions
from sharding.progress import Report
from sharding.reading.sample_reader import close_sample_reader
from sharding.system.machine import usable_cores
from sharding.system.workers import killed_workers_named, open_workers


def audit_source(options: ShardOptions, sample: int | None = None, report: Report | None = None) -> Audit:
    """Read and check every image of the sources as `build_shards` would, and write nothing.

    sample: read about this many entries only (below 100: about 100), drawn by the hash of their path. report: called
    with a Progress now and then. Raises ConfigError or SourceError as `build_shards`, but not if no image can be used.
    """
    if sample is not None and sample < 1:
        raise ConfigError(f"a sample of {sample} entries; at least 1 is needed")
    report = report or (lambda progress: None)
    sources = find_sources(options)
    if options.scratch:
        options.scratch.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="horovod-ocr-audit-", dir=options.scratch) as folder,
        open_workers(options.workers or usable_cores()) as workers,
    ):
        catalogue, decided = list_sources(Path(folder).absolute(), sources, options, report)
        rules = rules_of([*map(WatchedSource, sources)], catalogue, decided)
        try:
            with killed_workers_named("horovod-ocr audit"):
                return AuditRun(catalogue, sources, rules, decided).run(sample, workers, report)
        finally:
            close_sample_reader()
