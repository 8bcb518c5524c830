"""A training under `launch` on hosts of the bed, and the samples that its last model was trained on."""

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from horovod_ocr.launch.supervise.record import RESTARTS
from horovod_ocr.run.state import read_state
from tests.fault.watched import replace_text
from tests.hosts.bed import Bed, wait_until
from tests.ranks.launch import digests_of, steps_of_epoch

PROGRAM = Path(__file__).with_name("watched.py")
PATIENCE_S = 300  # for what must come; a machine that others use is slow
SMALL = {
    "workers": 0,
    "height": 32,
    "model_options": {"width": 0.25, "hidden": 24},
    "log_every_steps": 5,
    "save_every_steps": 5,
    "validate_every_steps": 1000,
    "precision": "fp32",
}


class Launched:
    """`launch` of a run named it, with a rank on each host.

    folder: its working folder. options: more of `launch`. host: where it is started. permitted: see `permit`.
    """

    def __init__(
        self, bed: Bed, folder: Path, *options: str, host: str = "node1", permitted: int | None = None, **settings
    ):
        self.bed, self.folder, self.host = bed, folder, host
        self.permit(permitted)
        self.run, self.output = folder / "runs/it", folder / "output.txt"
        command = [sys.executable, PROGRAM, "launch", "-np", str(len(bed.hosts)), "-H", bed.hosts_txt, "--run", "it"]
        self.command = [*command, *options, *spell({**SMALL, **settings})]
        self.start()

    def start(self) -> None:
        """Start the command, for the first time or again."""
        patience = {"HOROVOD_START_TIMEOUT": "120"}  # all hosts share this machine
        with self.output.open("a") as output:
            self.job = self.bed.start(self.host, self.command, self.folder, patience, stdout=output, stderr=output)

    def permit(self, step: int | None) -> None:
        """Let the ranks take the steps up to this one, and wait there; None: all steps.

        What a test does to a training finds it at work, however fast its steps are and however slow the test is.
        """
        self.permitted = step
        permit(self.folder, step)

    def permit_until(self, pattern: str) -> None:
        """Permit one step more with each heartbeat, until the supervisor has said something.

        A rank reads requests between steps only.
        """
        last_beat = read_state(self.run)

        def is_said() -> bool:
            nonlocal last_beat
            if (beat := read_state(self.run)) != last_beat:
                last_beat = beat
                self.permit(self.permitted + 1)
            return re.search(pattern, self.said) is not None

        self.wait_until(is_said, f"says {pattern}")

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_until(self, condition, what: str) -> None:
        def holds() -> bool:
            assert self.job.poll() is None, f"ended before: {what}\n{self.said[-5000:]}"
            return condition()

        wait_until(holds, what, PATIENCE_S)

    def wait_for(self, pattern: str, count: int = 1) -> None:
        """Until it has said something this many times."""
        self.wait_until(lambda: len(re.findall(pattern, self.said)) >= count, f"says {pattern}, {count} times")

    def wait_for_steps(self, attempt: int, count: int) -> None:
        """Until root has taken this many steps in an attempt."""
        notes = self.run / f"reads/{attempt}-0.jsonl"
        self.wait_until(
            lambda: notes.exists() and notes.read_bytes().count(b"\n") >= count, f"{count} steps of attempt {attempt}"
        )

    def wait_for_end(self, steps: int) -> None:
        assert self.job.wait(PATIENCE_S) == 0, self.said[-5000:]
        state = read_state(self.run)
        assert (state.state, state.step) == ("finished", steps), self.said[-5000:]

    def pids(self, host: str, command: str) -> list[int]:
        """Processes of `train` or `launch` on a host, without the shells and ssh clients around them."""
        begin = f"{sys.executable} {PROGRAM} {command} "
        return [pid for pid, line in self.bed.processes(host).items() if line.startswith(begin)]

    @property
    def restarts(self) -> list[dict]:
        return [json.loads(line) for line in (self.run / RESTARTS).read_text().splitlines()]

    def history(self) -> dict[int, Counter]:
        """Step -> digests that it read, of the attempts up to the checkpoint that the next one went on from."""
        history = reads_of(self.run, 1)
        for restart in self.restarts:
            history = {step: read for step, read in history.items() if step <= restart["step"]}
            history |= reads_of(self.run, restart["attempt"])
        return history


def permit(folder: Path, step: int | None) -> None:
    """Let the ranks of a training in a working folder take the steps up to this one; None: all steps."""
    if step is None:
        (folder / "PERMITTED").unlink(missing_ok=True)
    else:
        replace_text(folder / "PERMITTED", str(step))


class Stuck:
    """Whether something observed changes."""

    def __init__(self, observe: Callable[[], object]):
        self.observe, self.value, self.since_s = observe, observe(), time.monotonic()

    def for_s(self) -> float:
        """How long it has not changed."""
        if (value := self.observe()) != self.value:
            self.value, self.since_s = value, time.monotonic()
        return time.monotonic() - self.since_s


def reads_of(run: Path, attempt: int) -> dict[int, Counter]:
    """Step -> digests of the samples that all ranks of an attempt read for it."""
    read: dict[int, Counter] = {}
    for notes in (run / "reads").glob(f"{attempt}-*.jsonl"):
        for line in notes.read_text().splitlines():
            step, digests = json.loads(line)
            read.setdefault(step, Counter()).update(digests)
    return read


def spell(settings: dict) -> list[str]:
    """Settings as options of `train`."""
    words = []
    for name, value in settings.items():
        for key, each in value.items() if isinstance(value, dict) else [("", value)]:
            text = str(each).lower() if isinstance(each, bool) else each
            words += ["--set", f"{name}.{key}={text}" if key else f"{name}={text}"]
    return words


def train_losses(run: Path) -> dict[int, float]:
    """Step -> mean loss of the samples since the line before it."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if line["kind"] == "train"}


def assert_each_sample_once_an_epoch(history: dict[int, Counter], shards: Path, steps: int, global_batch: int) -> None:
    """In the whole epochs of a run."""
    assert sorted(history) == list(range(1, steps + 1))
    epoch = steps_of_epoch(shards, global_batch)
    for first in range(1, steps - epoch + 2, epoch):
        assert sum((history[step] for step in range(first, first + epoch)), Counter()) == digests_of(shards)
