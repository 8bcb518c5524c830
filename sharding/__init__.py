"""The shard set: how it is made and what it promises. Imports nothing of `horovod_ocr`; no torch, no horovod.

The way through the room, in the order in which a sample passes:

    errors.py      the error tree of the data side
    script.py      a script profile: normalise a label, its letters, its reading direction
    sources.py     a raw folder -> entries (image path, label, subset, split), in a stable order
    check.py       is this image readable, is this label usable; why not
    split.py       train / val / test by hash
    assign.py      aspect classes, the one shuffle, which sample goes into which shard
    tar.py         the deterministic tar
    index.py       index.json and .idx: the promise that readers trust
    inspection.py  the first pass: every entry checked
    pack.py        the second pass: one shard, written under another name, then renamed
    resume.py      what a started or finished build left in its folder
    workers.py     the processes that do both
    build.py       the parallel, resumable build over all of them
"""
