"""One rank of a training run, as the command trains, that saves after every second row of steps.

    horovodrun --gloo -np 2 python benchmarks/sides/step_saving_run.py '{"set": "shards", "out": "out", ...}'

Writes to out/rank<r>.json: saving_s and plain_s, lists of the seconds of each row that follows a save, including the
save, and of each row between them. All rows hold the same batches; nothing else happens now and then.
"""

import json
import sys
import time
from collections.abc import Generator
from itertools import cycle, islice
from pathlib import Path

from horovod_ocr.config.sources import load_config
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.batch import Batch
from horovod_ocr.distributed.open import open_world
from horovod_ocr.distributed.watchdog import Watchdog
from horovod_ocr.distributed.world import World
from horovod_ocr.training.hooks import Hook, Step
from horovod_ocr.training.setup import set_up
from horovod_ocr.training.state import TrainState

WARM_UP_ROWS = 2
SELDOM = 1_000_000  # steps
NOTHING_ELSE = {
    "save_every_steps": SELDOM,
    "validate_every_steps": SELDOM,
    "log_every_steps": SELDOM,
    "check_ranks_every_steps": SELDOM,
    "save_every_minutes": 0,
}


class SameBatches:
    """A stream whose rows of steps hold the same batches, which are in memory."""

    def __init__(self, batches: list[Batch], steps_a_row: int) -> None:
        self.row = list(islice(cycle(batches), steps_a_row))

    def batches(self, first_step: int, last_step: int) -> Generator[Batch, None, None]:
        yield from islice(cycle(self.row), last_step - first_step)


class SavingRows(Hook):
    """Measures each row of steps, and has the run save after every second one."""

    def __init__(self, steps_a_row: int) -> None:
        self.steps_a_row = steps_a_row
        self.row_s: list[float] = []
        self.started_s: float | None = None

    def before_step(self, state: TrainState, batch: Batch) -> None:
        self.started_s = self.started_s or time.perf_counter()

    def after_step(self, state: TrainState, step: Step) -> None:
        row, steps = divmod(state.step, self.steps_a_row)
        if steps == 0:
            now_s = time.perf_counter()
            self.row_s.append(now_s - self.started_s)
            self.started_s = now_s
            state.due.saves |= row % 2 == 0


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    task = json.loads(sys.argv[1])
    out, world = Path(task["out"]), open_world()
    row_s = measure_rows(config_of(task), task["steps_a_row"], world)
    (out / f"rank{world.rank}.json").write_text(json.dumps(rows_of(row_s)), encoding="utf-8")


def rows_of(row_s: list[float]) -> dict[str, list[float]]:
    """saving_s and plain_s, without the rows of the warm-up."""
    return {"saving_s": row_s[WARM_UP_ROWS::2], "plain_s": row_s[WARM_UP_ROWS + 1 :: 2]}


def config_of(task: dict) -> TrainConfig:
    steps = task["steps_a_row"] * (WARM_UP_ROWS + 2 * task["saves"])
    run = {"shards": task["set"], "runs": task["out"], "run": "saving", "steps": steps}
    return load_config("demo", {**run, **NOTHING_ELSE, **task["settings"]})


def measure_rows(config: TrainConfig, steps_a_row: int, world: World) -> list[float]:
    """Seconds of each row of steps of a whole training run."""
    from sides.one_step_run import read_batches

    rows = SavingRows(steps_a_row)
    with Watchdog(config.ranks.stall_timeout_s, world.rank) as watchdog:
        trainer = set_up(config, world, watchdog)
        _, batches = read_batches(Path(config.data.shards), config, world.rank)
        trainer.stream = SameBatches(batches, steps_a_row)
        trainer.hooks.insert(1, rows)  # the first hook decides what is due, which this one changes
        trainer.work()
    return rows.row_s


if __name__ == "__main__":
    main()
