"""Root's checkpoints, written beside the training: the next step waits for a copy in memory, not for the disk."""

import threading
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from horovod_ocr.checkpoint.file import write_checkpoint
from horovod_ocr.console import console
from horovod_ocr.errors import CheckpointError
from horovod_ocr.run.folder import Ownership, remedy_for, remove_old

LONG_WAIT_S = 1.0


class Saver:
    """Writes one checkpoint at a time in a thread of its own. Root only.

    A failed save is logged; earlier checkpoints are kept, and the next save is tried as usual.
    """

    def __init__(self, run: Path, keep: int, keep_epochs: int, on_gpu: bool = False):
        """Take the run's folder over from the job that wrote there before. CheckpointError if it cannot be written.

        keep: this many of the last checkpoints are kept, and BEST. keep_epochs: the last checkpoint of each of this
        many latest epochs is kept too. on_gpu: whether the tensors to be saved are on a GPU.
        """
        self.run, self.keep, self.keep_epochs, self.on_gpu = run, keep, keep_epochs, on_gpu
        self.ownership = Ownership(run)
        self.failures, self.remedy = 0, ""  # in a row, and what to do about the latest
        # one that ends the run: the run is no longer ours, or the program is at fault
        self.error: Exception | None = None
        self.thread: threading.Thread | None = None

    def save(self, step: int, payload: dict[str, Any], is_best: bool) -> None:
        """Copy the payload and return; its tensors may change from then on.

        payload: as in `file.write_checkpoint`. Waits for the previous save, and warns if that takes long. Raises
        CheckpointError if another job has taken the run over.
        """
        self.wait()
        copied, on_device = snapshot(payload), None
        if self.on_gpu:
            on_device = torch.cuda.Event()  # type: ignore[no-untyped-call]
            on_device.record()
        self.thread = threading.Thread(target=self.write, args=(step, copied, is_best, on_device), name="saver")
        self.thread.start()

    def wait(self) -> None:
        """Wait for the checkpoint that is being written. Raises the error that ends the run."""
        if self.thread:
            started_s = time.monotonic()
            self.thread.join()
            waited_s, self.thread = time.monotonic() - started_s, None
            if waited_s > LONG_WAIT_S:
                self.warn(f"training waited {waited_s:.1f} s for the checkpoint before; save less often")
        if self.error:
            raise self.error

    def close(self) -> None:
        """Wait for the last checkpoint. CheckpointError if it could not be written."""
        self.wait()
        if complaint := self.complaint(1):
            raise CheckpointError(complaint)

    def complaint(self, most: int) -> str | None:
        """A sentence if the last `most` checkpoints failed, or more; else None."""
        if self.failures < most:
            return None
        count = "checkpoint" if self.failures == 1 else f"{self.failures} checkpoints"
        return f"{self.run}: the last {count} could not be written; {self.remedy}, then go on with --resume"

    def write(self, step: int, payload: dict[str, Any], is_best: bool, on_device: "torch.cuda.Event | None") -> None:
        """The thread: wait for the copies from the device, write, remove what is old."""
        try:
            if on_device:
                on_device.synchronize()
            write_checkpoint(self.ownership, step, payload, is_best)
        except OSError as error:
            self.failures, self.remedy = self.failures + 1, remedy_for(error)
            reason = "its folder is away" if isinstance(error, FileNotFoundError) else error.strerror or error
            times = f", {self.failures} times in a row" if self.failures > 1 else ""
            self.warn(
                f"{self.run}: the checkpoint of step {step} could not be written ({reason}){times}; earlier "
                f"checkpoints are kept, and training goes on; {self.remedy}"
            )
        except Exception as error:  # `wait` raises it in the main thread
            self.error = error
            return
        else:
            self.failures = 0
        try:
            self.ownership.check()
            remove_old(self.run, self.keep, self.keep_epochs)  # also the remains of a failed save
        except (OSError, CheckpointError) as error:
            if not self.failures:
                self.warn(f"{self.run}: old checkpoints could not be removed ({error})")

    def warn(self, sentence: str) -> None:
        console.print(f"warning: {sentence}", markup=False)


def snapshot(value: Any) -> Any:
    """A copy on the CPU of all tensors in dictionaries, lists and tuples.

    Copies from a GPU go to page-locked memory and are not waited for: a reader waits for an event recorded after them.
    """
    if isinstance(value, Tensor):
        return value.detach().to("cpu", non_blocking=True, copy=True)
    if isinstance(value, dict):
        return {name: snapshot(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(snapshot(part) for part in value)
    return value
