"""The lines of a run, as a person reads them on the console and in train.log."""

from horovod_ocr.console import span
from horovod_ocr.tasks.figures import TaskFigures, score_text
from horovod_ocr.training.state import TrainState

STRAGGLES = 1.4  # times the others' time
FEWEST_STEPS = 5  # an interval of fewer says nothing about a rank's speed


def step_line(
    state: TrainState, values: dict[str, float], task_text: tuple[str | None, str | None], passed_s: float
) -> str:
    """values: of an interval of `passed_s` (Interval.summarise), lr, eta_s, damaged, skipped. task_text: of
    `Task.log_text`."""
    shown, remark = task_text
    of_task = f"{shown}  " if shown else ""
    return (
        f"step {state.step}/{state.total_steps}  epoch {state.epoch:.2f}  loss {values['loss']:.3f}  "
        f"{of_task}lr {values['lr']:.2e}  {values['images_per_s']:.0f} images/s  "
        f"data wait {values['data_wait_share']:.1%}  decode {values['decode_us']:.0f} us  "
        f"read {values['read_bytes'] / passed_s / 1e6:.1f} MB/s  ETA {span(values['eta_s'])}"
        + (f"  {remark}" if remark else "")
        + (f"  {values['damaged']} samples damaged" if values["damaged"] else "")
        + (f"  {values['skipped']} updates left out" if values["skipped"] else "")
    )


def straggler_line(values: dict[str, float], hosts: list[str], steps: int) -> str | None:
    """Which rank the others wait for; None if none stands out. hosts: of the ranks. steps: of the interval."""
    rank, ratio = int(values["slowest_rank"]), values["slowest_ratio"]
    if ratio < STRAGGLES or steps < FEWEST_STEPS:
        return None
    return f"straggler: rank {rank} on {hosts[rank]} takes {ratio:.1f} x as long for a step as the other ranks"


def val_line(state: TrainState, figures: TaskFigures, values: dict[str, float], took_s: float) -> str:
    """values: scores of the val split."""
    return (
        f"val  {state.step}/{state.total_steps}  {score_text(figures, values)}  {values['samples']} samples in "
        f"{span(took_s)}" + ("  best" if state.is_best else "")
    )
