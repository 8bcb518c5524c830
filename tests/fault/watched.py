"""`horovod-ocr launch` and `train`, but every rank notes which samples each step read, in the run's folder:
reads/<attempt>-<rank>.jsonl. While a file SLOW lies in the working folder, each step takes half a second longer.

A host that is cut off is noticed within 6 s instead of 15.
"""

import json
import os
import sys
import time
from functools import partial

from horovod_ocr.cli.main import main
from sharding.format.idx import read_idx


def launch_this_program() -> None:
    from horovod_ocr.launch.supervise import begin

    spell = begin.spell_command

    def spell_ours(*arguments) -> list[str]:
        words = spell(*arguments)
        at = words.index("-m")
        return [*words[:at], __file__, *words[at + 2 :]]

    begin.spell_command = spell_ours
    begin.Ssh = partial(begin.Ssh, alive_interval_s=2)


def note_what_is_read() -> None:
    import torch

    from horovod_ocr.training import loop

    class Watched(loop.Session):
        def start(self, payload):
            super().start(payload)
            torch.set_num_threads(1)  # hosts of the bed share the cores of this machine
            attempt = os.environ.get("HOROVOD_OCR_JOB", "/1").split("/")[1]
            notes = self.run / "reads" / f"{attempt}-{self.world.rank}.jsonl"
            notes.parent.mkdir(exist_ok=True)
            self.notes = open(notes, "a", buffering=1)  # now: later its folder may be away
            idx_paths = [self.index.idx_path(shard) for shard in self.train_stream.shards]
            self.digests = [read_idx(path)["digest"].tolist() for path in idx_paths]

        def take_step(self, batch):
            if os.path.exists("SLOW"):
                time.sleep(0.5)
            super().take_step(batch)
            read = zip(batch.shards_N.tolist(), batch.rows_N.tolist(), strict=True)
            digests = [self.digests[shard][row] for shard, row in read]
            self.notes.write(json.dumps([self.step, digests]) + "\n")

    loop.Session = Watched


if __name__ == "__main__":
    if sys.argv[1] == "launch":
        launch_this_program()
    else:
        note_what_is_read()
    main()
