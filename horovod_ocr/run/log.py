"""The log of a run: lines on root's console and in train.log, numbers in metrics.jsonl and TensorBoard."""

import json
import os
import socket
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from horovod_ocr.console import silence
from horovod_ocr.run.folder import METRICS, TRAIN_LOG
from sharding.system.files import write_whole


class RunLog:
    """The log of one run. Root writes lines to the console and to train.log, and the metrics. Every other rank has a
    file of its own, logs/rank-N.log. A full disk costs lines, not the run.
    """

    def __init__(self, run: Path, rank: int = 0, resume_step: int = 0):
        """resume_step: metrics of later steps are removed: the process that wrote them did not live to save."""
        self.is_root = rank == 0
        self.fresh: list[str] = []  # warnings of this rank that root has not printed yet
        self.known: set[str] = set()  # warnings of this rank
        self.told: set[str] = set()  # warnings of any rank that root has printed
        self.show_warning = warnings.showwarning
        warnings.showwarning = self.note_warning
        path = run / TRAIN_LOG if self.is_root else run / "logs" / f"rank-{rank}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.text = open(path, "a", encoding="utf-8", errors="backslashreplace", buffering=1)
        if self.is_root:
            keep_until(run / METRICS, resume_step)
            self.metrics = open(run / METRICS, "a", encoding="utf-8", buffering=1)
            self.board = Board(run / "tensorboard", resume_step)

    def line(self, text: str) -> None:
        """A line of the run: root alone prints it."""
        if self.is_root:
            self.note(text)
            try:
                print(text + "\n", end="", flush=True)  # one write: launchers put a rank's mark before each
            except OSError:
                silence(sys.stdout)

    def note(self, text: str) -> None:
        """A line in this rank's own file."""
        with suppress(OSError):
            self.text.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def warn(self, text: str) -> None:
        """A warning of this rank: in its file now, and on the console when the ranks next share their warnings."""
        if text not in self.known:
            self.known.add(text)
            self.fresh.append(text)
            self.note(f"warning: {text}")

    def note_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Replaces warnings.showwarning."""
        self.warn(f"{category.__name__}: {message} ({filename}, line {lineno})")

    def numbers(self, kind: str, step: int, values: dict[str, float]) -> None:
        """A line of metrics.jsonl, and its scalars in TensorBoard. kind: `train` or `val`."""
        if not self.is_root:
            return
        with suppress(OSError):
            self.metrics.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        with suppress(OSError):
            self.board.add(step, {f"{kind}/{name}": value for name, value in values.items()})

    def close(self) -> None:
        warnings.showwarning = self.show_warning
        files: tuple[TextIO | Board, ...] = (self.text, self.metrics, self.board) if self.is_root else (self.text,)
        for file in files:
            with suppress(OSError):
                file.close()


class Board:
    """An events file for TensorBoard. TensorBoard's own writer has a thread that ends for good, with a traceback, at an
    error of the disk; this file is written like any other, and what finds no room for a while waits in its buffer.
    """

    def __init__(self, folder: Path, resume_step: int = 0):
        """resume_step: TensorBoard drops what earlier files of the folder hold of later steps."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # takes a while to import
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.event, self.summary = Event, Summary
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self.file = open(folder / name, "xb")
        self.records = RecordWriter(self.file)
        self.write(file_version="brain.Event:2")
        if resume_step:
            self.write(step=resume_step + 1, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, scalars: dict[str, float]) -> None:
        """Raises OSError."""
        values = [self.summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        self.write(step=step, summary=self.summary(value=values))

    def write(self, **fields: object) -> None:
        self.records.write(self.event(wall_time=time.time(), **fields).SerializeToString())
        self.records.flush()

    def close(self) -> None:
        self.file.close()


def keep_until(path: Path, step: int) -> None:
    """Remove the lines of later steps, and a line that was cut off, from a metrics file."""
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
