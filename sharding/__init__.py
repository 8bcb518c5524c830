"""Shard sets: how one is made and what it promises. Imports nothing of `horovod_ocr`; no torch, no horovod.

The stages, each importing only those above it:

    errors.py       the error tree of the data side
    reasons.py      why a sample cannot be used
    progress.py     what a long job reports
    system/         files.py (whole or absent), workers.py (processes), lock.py (one build at a time, over NFS too)
    format/         everything a reader of shards may import
        index.py        index.json: what a set promises, and its commit point
        idx.py          .idx: where each sample is in its tar, and what it must be
        tar.py          the deterministic tar
        splits.py       train, val, test, and the names of shards
        frames.py       how many frames a model sees of an image, and how many a label needs
        script/         a script profile: normalise a label, its letters, its reading order
    images/         is this image readable; what a shard holds of it (limits.py: what it must keep to)
    layouts/        a raw source -> entries (path, label, subset, split), and a reader of their bytes
    reading/        a source, entry by entry
        split.py        train, val, test by hash or by lists (hashes.py: the hashes)
        catalogue.py    every entry on disk, none in memory (listing.py writes it)
        labels.py       is this label usable, and does it fit its image
        sample_reader.py  read one entry: a sample, or the reason why not
        spool.py        what was read, until all of the source is known
        intake.py       each range of the catalogue into a spool file
    arranging/      decisions over the set as a whole
        copies.py       the same image more than once: the rule (duplicates.py: over all samples)
        assign.py       buckets, the one shuffle, which sample goes into which shard
        arrange.py      both, one after the other
    packing/        pack.py (shards), left_out.py (rejects.tsv and duplicates.tsv), set_index.py (the index, last)
    options.py      what a build is asked for
    building/       around the stages of a build
        state.py        what a started or finished build leaves in its folder
        resolve.py      what follows from the options once the sources are known (list_sources.py: both)
        same_options.py is a build continued under the options it was begun with
        rebuild.py      make damaged shards again
        resume.py       find a finished set, or a listing that is still right
        report.py       what there is to say of a finished build
    build.py        the parallel, resumable build: all stages in order
    audit/          what a build would pack and refuse, before anything is packed
    verify/         prove a shard set, and repair what is damaged
"""
