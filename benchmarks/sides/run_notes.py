"""What the ranks of a supervised run have noted (faulty_run.py), and what of it is left in the run's last model."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class NotedStep:
    """A step as the ranks of one attempt noted it."""

    began_s: float
    """When the first of them began it, in seconds since 1970."""
    digests: Counter = field(default_factory=Counter)
    """Of the samples that they read for it."""


Attempt = dict[int, NotedStep]  # by step


def read_notes(folder: Path) -> list[Attempt]:
    """The attempts that began a step, in their order. A line that a killed rank did not finish is left out."""
    attempts: dict[int, Attempt] = {}
    for path in folder.glob("*-*.jsonl"):
        attempt = attempts.setdefault(int(path.name.split("-")[0]), {})
        for line in path.read_text().split("\n")[:-1]:
            began_s, step, digests = json.loads(line)
            noted = attempt.setdefault(step, NotedStep(began_s))
            noted.began_s = min(noted.began_s, began_s)
            noted.digests.update(digests)
    return [attempts[number] for number in sorted(attempts) if attempts[number]]


def kept_steps(attempts: list[Attempt]) -> Attempt:
    """The steps in the weights of the last attempt: each attempt goes on from the step before its first."""
    kept: Attempt = {}
    for attempt in attempts:
        first = min(attempt)
        kept = {step: noted for step, noted in kept.items() if step < first} | attempt
    return kept


def lost_and_repeated(kept: Attempt, expected: Counter, epoch_steps: int, steps: int) -> tuple[int, int]:
    """Samples that the whole epochs of a run lack, and those that they have too often. expected: of one epoch."""
    lost = repeated = 0
    for first in range(1, steps - epoch_steps + 2, epoch_steps):
        read = Counter()
        for step in range(first, first + epoch_steps):
            read.update(kept[step].digests if step in kept else ())
        lost += (expected - read).total()
        repeated += (read - expected).total()
    return lost, repeated


def seconds_until_further(attempts: list[Attempt], from_s: float) -> float:
    """From a moment until the end of a step that no attempt had ended before, and that is kept: until the next one
    begins."""
    begun = (number for attempt in attempts for number, step in attempt.items() if step.began_s <= from_s)
    furthest = max(begun, default=0)  # it ends with the begin of the next one, which may be taken in vain
    return min(step.began_s for number, step in kept_steps(attempts).items() if number > furthest + 1) - from_s


def taken_again(attempts: list[Attempt], from_s: float, to_s: float) -> int:
    """Steps that attempts which began between two moments took once more than those before them."""
    again, kept = 0, set[int]()
    for attempt in attempts:
        first = min(attempt)
        if from_s <= attempt[first].began_s < to_s:
            again += sum(step >= first for step in kept)
        kept = {step for step in kept if step < first} | attempt.keys()
    return again
