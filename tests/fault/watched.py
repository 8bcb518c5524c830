"""`horovod-ocr launch` and `train`, but every rank notes which samples each step read, in the run's folder:
reads/<attempt>-<rank>.jsonl.

A file PERMITTED in the working folder names the last step that may be taken: ranks wait before the next one, and root
writes its number to a file WAITS_FOR. A host that is cut off is noticed within 6 s instead of 15.
"""

import json
import os
import sys
import time
from functools import partial
from pathlib import Path

from horovod_ocr.cli.main import main
from sharding.format.idx import read_idx


def launch_this_program() -> None:
    from horovod_ocr.launch.supervise import begin, cluster

    spell = cluster.spell_train

    def spell_ours(*arguments) -> list[str]:
        words = spell(*arguments)
        at = words.index("-m")
        return [*words[:at], __file__, *words[at + 2 :]]

    cluster.spell_train = spell_ours
    begin.Ssh = partial(begin.Ssh, alive_interval_s=2)


def note_what_is_read() -> None:
    import torch

    from horovod_ocr.training import train as training
    from horovod_ocr.training.hooks import Hook

    class WaitForPermission(Hook):
        def __init__(self, trainer):
            self.trainer = trainer

        def before_step(self, state, batch):
            step = state.step + 1
            if self.trainer.world.is_root and not is_permitted(step):
                replace_text(Path("WAITS_FOR"), str(step))
            while not is_permitted(step) and not self.trainer.signals.received:
                self.trainer.report("the permission of the test")  # it is well: no watchdog must end it
                time.sleep(0.02)

    class NoteWhatIsRead(Hook):
        def __init__(self, trainer):
            attempt = os.environ.get("HOROVOD_OCR_JOB", "/1").split("/")[1]
            notes = trainer.run / "reads" / f"{attempt}-{trainer.world.rank}.jsonl"
            notes.parent.mkdir(exist_ok=True)
            self.notes = open(notes, "a", buffering=1)  # now: later its folder may be away
            store = trainer.stream.store
            self.digests = [read_idx(store.idx_path(shard))["digest"].tolist() for shard in trainer.stream.shards]

        def after_step(self, state, step):
            read = zip(step.batch.shards_N.tolist(), step.batch.rows_N.tolist(), strict=True)
            digests = [self.digests[shard][row] for shard, row in read]
            self.notes.write(json.dumps([state.step, digests]) + "\n")

    def adjust(trainer):
        if trainer.world.world_size > 1:
            torch.set_num_threads(1)  # hosts of the bed share the cores of this machine
        trainer.hooks = [WaitForPermission(trainer), NoteWhatIsRead(trainer), *trainer.hooks]

    training.train = partial(training.train, adjust=adjust)


def replace_text(path: Path, text: str) -> None:
    """Write a small file that others read at the same time."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def is_permitted(step: int) -> bool:
    try:
        return step <= int(Path("PERMITTED").read_text())
    except FileNotFoundError:
        return True


if __name__ == "__main__":
    if sys.argv[1] == "launch":
        launch_this_program()
    else:
        note_what_is_read()
    main()
