"""The lines of a run, as a person reads them on the console and in train.log."""

from horovod_ocr.console import span
from horovod_ocr.data.splits import divide_command
from sharding.format.index import ShardIndex

STRAGGLES = 1.4  # x the others' time
FEWEST_STEPS = 5  # of an interval that says something of a rank's speed


def step_line(step: int, total_steps: int, values: dict[str, float], passed_s: float) -> str:
    """values: of an interval of `passed_s` (Interval.summarise), epoch, lr, eta_s, damaged."""
    return (
        f"step {step}/{total_steps}  epoch {values['epoch']:.2f}  loss {values['loss']:.3f}  "
        f"blank {values['blank_share']:.2f}  lr {values['lr']:.2e}  {values['images_per_s']:.0f} images/s  "
        f"data wait {values['data_wait_share']:.1%}  decode {values['decode_us']:.0f} us  "
        f"read {values['read_bytes'] / passed_s / 1e6:.1f} MB/s  ETA {span(values['eta_s'])}"
        + (f"  {values['too_long']} labels too long for their frames" if values["too_long"] else "")
        + (f"  {values['damaged']} samples damaged" if values["damaged"] else "")
        + (f"  {values['skipped']} updates left out" if values["skipped"] else "")
    )


def straggler_line(values: dict[str, float], hosts: list[str], steps: int) -> str:
    """Which rank the others wait for, "" where none stands out. hosts: of the ranks. steps: of the interval."""
    rank, ratio = values["slowest_rank"], values["slowest_ratio"]
    if ratio < STRAGGLES or steps < FEWEST_STEPS:
        return ""
    return f"straggler: rank {rank} on {hosts[rank]} takes {ratio:.1f} x as long for a step as the other ranks"


def val_line(step: int, total_steps: int, values: dict[str, float], took_s: float, is_best: bool) -> str:
    """values: scores of the val split."""
    return (
        f"val  {step}/{total_steps}  word accuracy {values['word_accuracy']:.2%}  CER {values['cer']:.2%}  "
        f"1-NED {values['one_minus_ned']:.2%}  {values['samples']} samples in {span(took_s)}"
        + ("  best" if is_best else "")
    )


def unvalidated_line(shards: str, index: ShardIndex) -> str:
    """For a set without a val split."""
    return (
        f"warning: {shards} has no val split: nothing is validated, and the best checkpoint is the last one; for a val "
        f"split give images of it, or divide those there are: {divide_command(index.kind)}"
    )
