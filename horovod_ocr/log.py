"""What a run says: lines on root's console and in train.log, the same numbers in metrics.jsonl and TensorBoard."""

import json
import os
import time
from pathlib import Path

from rich.console import Console

from sharding.files import write_whole

# where a process finds its rank: what the launchers of horovodrun set (Gloo; OpenMPI; MPICH and Intel MPI)
RANK_VARIABLES = ("HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
console = Console(stderr=True, soft_wrap=True)  # progress and remarks; results go to standard output


def rank_of_process() -> int | None:
    """This process's rank as its launcher set it; None where none did."""
    return next((int(os.environ[name]) for name in RANK_VARIABLES if name in os.environ), None)


class RunLog:
    """The log of one run. Only root writes; on other ranks every call does nothing.

    resume_step: metrics of later steps, written by a process that did not live to save them, are taken out.
    """

    def __init__(self, run: Path, is_root: bool, resume_step: int = 0):
        self.is_root = is_root
        if not is_root:
            return
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        run.mkdir(parents=True, exist_ok=True)
        keep_until(run / "metrics.jsonl", resume_step)
        self.text = open(run / "train.log", "a", encoding="utf-8", buffering=1)
        self.metrics = open(run / "metrics.jsonl", "a", encoding="utf-8", buffering=1)
        self.board = SummaryWriter(run / "tensorboard", purge_step=resume_step or None)

    def line(self, text: str) -> None:
        if self.is_root:
            print(text + "\n", end="", flush=True)  # one write: launchers put a rank's mark before each
            self.text.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def numbers(self, kind: str, step: int, values: dict[str, float]) -> None:
        """One line of metrics.jsonl and its scalars. kind: `train` or `val`."""
        if self.is_root:
            self.metrics.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        if self.is_root:
            self.text.close()
            self.metrics.close()
            self.board.close()


def keep_until(path: Path, step: int) -> None:
    """Take the lines of later steps, and a line that was cut off, out of a metrics file."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, TypeError, KeyError):
            continue  # cut off when the process was killed
    write_whole(path, "".join(kept).encode())


def span(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
