"""One rank of a training run, as the command trains, that saves after every second row of STEPS_A_ROW steps.

    horovodrun --gloo -np 2 python benchmarks/sides/step_saving_run.py '{"set": "shards", "out": "out", "saves": 15}'

Leaves in out/rank<r>.json: saving_s and plain_s, lists: seconds of each row that follows a save, the save included, and
of each row between them. All rows hold the same batches; what else training does now and then is left out.
"""

import json
import sys
import time
from itertools import cycle, islice
from pathlib import Path

STEPS_A_ROW = 10
WARM_UP_ROWS = 2
SELDOM = 1_000_000  # steps
EACH_ROW_ALIKE = {
    "save_every_steps": SELDOM,
    "validate_every_steps": SELDOM,
    "log_every_steps": SELDOM,
    "check_ranks_every_steps": SELDOM,
    "save_every_minutes": 0,
}


def main() -> None:
    from sides.one_step_run import read_batches

    from horovod_ocr.config.settings import load_config
    from horovod_ocr.distributed.world import open_world
    from horovod_ocr.training import loop

    row_s: list[float] = []

    class TimedSession(loop.Session):
        def run_steps(self) -> None:
            _, batches = read_batches(Path(task["set"]), self.config, self.world.rank)
            sequence = cycle(islice(cycle(batches), STEPS_A_ROW))
            self.train_stream.batches = lambda first_step, last_step: islice(sequence, last_step - first_step)
            self.row_started_s = time.perf_counter()
            super().run_steps()

        def after_step(self, saves: bool) -> None:
            row, steps = divmod(self.step, STEPS_A_ROW)
            if steps == 0:
                now_s = time.perf_counter()
                row_s.append(now_s - self.row_started_s)
                self.row_started_s = now_s
            super().after_step(saves or steps == 0 and row % 2 == 0)

    task = json.loads(sys.argv[1])
    out = Path(task["out"])
    steps = STEPS_A_ROW * (WARM_UP_ROWS + 2 * task["saves"])
    run = {"shards": task["set"], "runs": str(out), "run": "saving", "steps": steps}
    loop.Session = TimedSession
    world = open_world()
    loop.train(load_config("demo", {**run, **EACH_ROW_ALIKE}), world)
    saving_s, plain_s = row_s[WARM_UP_ROWS::2], row_s[WARM_UP_ROWS + 1 :: 2]
    figures = {"steps_a_row": STEPS_A_ROW, "saving_s": saving_s, "plain_s": plain_s}
    (out / f"rank{world.rank}.json").write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
