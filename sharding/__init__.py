"""The shard set: how it is made and what it promises. Imports nothing of `horovod_ocr`; no torch, no horovod.

The way through the room, in the order in which a sample passes:

    errors.py       the error tree of the data side (reasons.py: why a sample cannot be used)
    script/         a script profile: normalise a label, its letters, its reading order; which one labels speak for
    layouts/        a raw source -> entries (path, label, subset, split), and a reader of their bytes
    check.py        is this label usable; why not
    images/         is this image readable; what a shard holds of it
    split.py        train / val / test by hash or by lists
    catalogue.py    every entry on disk, none in memory (listing.py: how they come there)
    inspection.py   one entry, read once: a sample, or the reason why not
    spool.py        what was read, until all of the source is known
    intake.py       a range of the catalogue into a spool file
    duplicates.py   the same image more than once (copies.py: the rule)
    assign.py       buckets, the one shuffle, which sample goes into which shard
    tar.py          the deterministic tar
    index.py        index.json and .idx: the promise that readers trust
    pack.py         one shard, written under another name, then renamed
    left_out.py     rejects.tsv and duplicates.tsv
    resume.py       what a started or finished build leaves in its folder
    same_options.py  is it taken up under the options it was begun with
    repair.py       damaged shards made again
    options.py      what a build is asked for
    build.py        the parallel, resumable build over all of them (build_report.py: what came of it)
    audit/          the same look before anything is packed
    verify/         a shard set proved, and what is damaged of it mended

Beside the way: files.py (files that are whole or not there), workers.py (the processes), lock.py (one build at a time,
over NFS too), reports/progress.py.
"""
