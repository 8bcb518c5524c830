"""A resumed run's metrics hold each step once."""

import json
import resource
import sys
import warnings

import pytest

from horovod_ocr.console import span
from horovod_ocr.run.log import Board, RunLog, keep_until


def test_metrics_after_the_resumed_step_are_taken_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (10, 20, 30)) + 'garbled\n{"step": 4')
    keep_until(path, 20)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [10, 20]


def test_root_writes_for_the_run_and_each_rank_for_itself(tmp_path, capsys):
    for rank in (0, 1):
        log = RunLog(tmp_path, rank)
        log.line(f"hello of rank {rank}")
        log.note(f"a note of rank {rank}")
        log.numbers("train", 5, {"loss": 1.5 + rank})
        log.close()
    assert capsys.readouterr().out == "hello of rank 0\n"
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"kind": "train", "step": 5, "loss": 1.5}
    assert [line[20:] for line in (tmp_path / "train.log").read_text().splitlines()] == [
        "hello of rank 0",
        "a note of rank 0",
    ]
    assert (tmp_path / "logs/rank-1.log").read_text()[20:] == "a note of rank 1\n"
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 1


def test_a_console_on_a_full_disk_costs_lines_and_not_the_run(tmp_path, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        log = RunLog(tmp_path)
        for number in (1, 2):
            log.line(f"line {number}")
        log.close()
    assert [line[20:] for line in (tmp_path / "train.log").read_text().splitlines()] == ["line 1", "line 2"]


def test_tensorboard_shows_a_resumed_run_as_one_and_a_full_disk_costs_it_nothing(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    killed, resumed = Board(tmp_path), Board(tmp_path, resume_step=2)
    for step in (1, 2, 3):
        killed.add(step, {"train/loss": step / 10})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resumed.file.tell() + 10, limits[1]))  # as full in the midst of a record
    try:
        with pytest.raises(OSError):
            resumed.add(3, {"train/loss": 3.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    resumed.add(4, {"train/loss": 4.0})
    for board in (killed, resumed):
        board.close()
    shown = EventAccumulator(str(tmp_path)).Reload().Scalars("train/loss")
    assert [(event.step, round(event.value, 3)) for event in shown] == [(1, 0.1), (2, 0.2), (3, 3.0), (4, 4.0)]


def test_a_warning_is_told_once_and_pythons_own_are_warnings_too(tmp_path):
    shows = warnings.showwarning
    log = RunLog(tmp_path, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        log.warn("the disk is slow")
        log.warn("the disk is slow")
        warnings.showwarning = log.note_warning  # catch_warnings put its own there
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    log.close()
    assert warnings.showwarning is shows
    assert log.fresh[0] == "the disk is slow" and log.fresh[1].startswith("DeprecationWarning: old")
    assert len(log.fresh) == 2
    assert (tmp_path / "logs/rank-3.log").read_text().count("warning: the disk is slow") == 1


def test_spans():
    assert (span(5), span(65), span(3725)) == ("0:05", "1:05", "1:02:05")
