"""Ranks that live as long as the tests: a job for them costs no start of interpreters and of an engine.

Start ranks of its own (`launch.py`) for a job in which something dies or hangs, that needs variables of Horovod or
another launcher, or that looks at what horovodrun itself prints and returns.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.ranks.launch import ROOT, environment, job_settings, over_ranks
from tests.ranks.serve import write_json

PROGRAM = Path(__file__).with_name("serve.py")
PATIENCE_S = 600  # on a busy machine


class Groups:
    """A group of ranks for each launcher and number of ranks, started when it first has a job. A context that ends
    them."""

    def __init__(self, folder: Path):
        self.folder, self.groups, self.started = folder, {}, 0

    def __enter__(self) -> "Groups":
        return self

    def __exit__(self, *error: object) -> None:
        for group in self.groups.values():
            group.close()

    def train(self, ranks: int, out: Path, launcher: str = "horovodrun", **settings) -> subprocess.CompletedProcess:
        """Run `rank_program` as `launch.train_on_ranks` does."""
        job = {"kind": "train", "settings": job_settings(out, settings)}
        return self.run(ranks, {**job, "folder": str(ROOT), "environment": environment()}, launcher)

    def try_collectives(self, ranks: int, out: Path, launcher: str) -> subprocess.CompletedProcess:
        """Run `collectives.try_all`, which leaves a file of each rank in `out`."""
        job = {"kind": "collectives", "out": str(out), "folder": str(ROOT), "environment": environment()}
        return self.run(ranks, job, launcher)

    def say(self, ranks: int, command: str | list[str], folder: Path) -> subprocess.CompletedProcess:
        """A command of horovod-ocr as each rank runs it, in a working folder and the environment that the test has set.

        As a person types it, or the words behind `horovod-ocr`.
        """
        if isinstance(command, str):
            program, *command = command.split()
            assert program == "horovod-ocr"
        job = {"kind": "command", "words": command, "folder": str(folder)}
        return self.run(ranks, {**job, "environment": {**environment(), "COLUMNS": "120"}})

    def run(self, ranks: int, job: dict, launcher: str = "horovodrun") -> subprocess.CompletedProcess:
        group = self.groups.get((launcher, ranks))
        if group is None or not group.is_alive():
            if group:
                group.close()
            self.started += 1
            folder = self.folder / f"group-{self.started}"
            group = self.groups[launcher, ranks] = Group(ranks, folder, launcher)
        return group.run(job)


class Group:
    """Interpreters that run job after job (serve.py): ranks under a launcher, or one without."""

    def __init__(self, ranks: int, folder: Path, launcher: str):
        folder.mkdir()
        self.ranks, self.folder, self.jobs = ranks, folder, 0
        self.output = folder / "output.txt"
        command = over_ranks(ranks, [sys.executable, str(PROGRAM), str(folder), str(os.getpid())], launcher)
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment()
            )

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def run(self, job: dict) -> subprocess.CompletedProcess:
        """The job's end: the code of the first rank that failed, and what the ranks have printed, by rank."""
        self.jobs += 1
        write_json(self.folder / f"job-{self.jobs}.json", job)
        answers = [self.folder / f"job-{self.jobs}.rank-{rank}" for rank in range(self.ranks)]
        ends = [Path(f"{answer}.json") for answer in answers]
        deadline = time.monotonic() + PATIENCE_S
        while not all(end.exists() for end in ends) and self.is_alive():
            if time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"job {self.jobs} does not end within {PATIENCE_S} s: {self.said(answers)}")
            time.sleep(0.01)
        found = [json.loads(end.read_text()) for end in ends if end.exists()]
        code = next((end["code"] for end in found if end["code"]), 0)
        if len(found) < self.ranks:
            code = self.process.wait() or 1
        assert not any(end["left"] for end in found), f"a job has left threads or processes behind: {found}"
        return subprocess.CompletedProcess(str(job), code, self.read(answers, ".out"), self.said(answers))

    def read(self, answers: list[Path], ending: str) -> str:
        files = [Path(f"{answer}{ending}") for answer in answers]
        return "".join(file.read_text("utf-8", "surrogateescape") for file in files if file.exists())

    def said(self, answers: list[Path]) -> str:
        """The error output of a job; what the group as a whole has printed follows if it has ended."""
        return self.read(answers, ".err") + ("" if self.is_alive() else self.output.read_text())

    def close(self) -> None:
        (self.folder / "stop").touch()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
