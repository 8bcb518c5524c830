"""What benchmarks/faults.py judges by."""

import json
from collections import Counter

from benchmarks.sides.run_notes import (
    kept_steps,
    lost_and_repeated,
    read_notes,
    seconds_until_further,
    taken_again,
)

EPOCH = Counter([11, 12, 13, 14])  # in two steps


def write(folder, name: str, *steps: tuple[float, int, list[int]], end: str = "") -> None:
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps) + end)


def test_an_attempt_replaces_the_steps_that_it_takes_again(tmp_path):
    write(tmp_path, "1-0", (1.0, 1, [11]), (2.0, 2, [12]), (3.0, 3, [13]), end="[4.0, 4, [1")
    write(tmp_path, "1-1", (1.1, 1, [13]), (2.1, 2, [14]), (3.1, 3, [14]))
    write(tmp_path, "2-0")
    write(tmp_path, "10-0", (9.0, 3, [14, 11]), (10.0, 4, [12, 13]))
    attempts = read_notes(tmp_path)
    assert [sorted(attempt) for attempt in attempts] == [[1, 2, 3], [3, 4]]
    kept = kept_steps(attempts)
    assert [kept[step].began_s for step in (1, 2, 3, 4)] == [1.0, 2.0, 9.0, 10.0]
    assert lost_and_repeated(kept, EPOCH, epoch_steps=2, steps=5) == (0, 0)  # no whole third epoch
    assert seconds_until_further(attempts, from_s=1.5) == 7.5  # step 3, of the second attempt: 2 was under way
    assert [taken_again(attempts, 0, 9), taken_again(attempts, 9, 10)] == [0, 1]


def test_samples_that_are_lost_or_repeated_are_counted(tmp_path):
    write(tmp_path, "1-0", (1.0, 1, [11, 11]), (2.0, 2, [13, 14]), (4.0, 4, [11, 12]))
    assert lost_and_repeated(kept_steps(read_notes(tmp_path)), EPOCH, epoch_steps=2, steps=4) == (1 + 2, 1)
