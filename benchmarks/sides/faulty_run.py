"""`horovod-ocr launch` and `train` of benchmarks/faults.py, with two hooks in every rank.

A step takes at least STEP_S seconds, and each rank notes the samples that it read for each step, in files on its own
disk that no fault reaches: NOTES/<attempt>-<rank>.jsonl, lines of [seconds since 1970, step, digests]. A line is
written before its step is taken: no checkpoint holds a step that a rank has not noted.
"""

import json
import os
import sys
import time
from functools import partial
from pathlib import Path

from horovod_ocr.cli.main import main
from horovod_ocr.data.batch import Batch
from horovod_ocr.run.state import JOB_VARIABLE
from horovod_ocr.training.state import TrainState
from sharding.format.idx import read_idx


def launch_this_program() -> None:
    from horovod_ocr.launch.supervise import cluster

    spell = cluster.spell_train

    def spell_ours(*arguments) -> list[str]:
        words = spell(*arguments)
        at = words.index("-m")
        return [*words[:at], __file__, *words[at + 2 :]]

    cluster.spell_train = spell_ours


def pace_and_note() -> None:
    import torch

    from horovod_ocr.training import train as training
    from horovod_ocr.training.hooks import Hook

    class Pace(Hook):
        def __init__(self, step_s: float) -> None:
            self.step_s, self.began_s = step_s, 0.0

        def before_step(self, state: TrainState, batch: Batch) -> None:
            time.sleep(max(0.0, self.began_s + self.step_s - time.monotonic()))
            self.began_s = time.monotonic()

    class Note(Hook):
        def __init__(self, trainer) -> None:
            attempt = os.environ[JOB_VARIABLE].split("/")[1]
            self.notes = open(Path(os.environ["NOTES"]) / f"{attempt}-{trainer.world.rank}.jsonl", "a", buffering=1)
            store = trainer.stream.store
            self.digests = [read_idx(store.idx_path(shard))["digest"].tolist() for shard in trainer.stream.shards]

        def before_step(self, state: TrainState, batch: Batch) -> None:
            read = zip(batch.shards_N.tolist(), batch.rows_N.tolist(), strict=True)
            digests = [self.digests[shard][row] for shard, row in read]
            self.notes.write(json.dumps([round(time.time(), 3), state.step + 1, digests]) + "\n")

    def adjust(trainer) -> None:
        torch.set_num_threads(1)  # the hosts share the cores of this machine
        trainer.hooks[:0] = [Pace(float(os.environ["STEP_S"])), Note(trainer)]

    training.train = partial(training.train, adjust=adjust)


if __name__ == "__main__":
    if sys.argv[1] == "launch":
        launch_this_program()
    else:
        pace_and_note()
    main()
