"""Saving beside the training: what was to be saved is saved, one at a time, and a failure is said and counted."""

import threading

import pytest
import torch

from horovod_ocr.checkpoint import saver as saver_module
from horovod_ocr.checkpoint.file import BEST, LAST, load_checkpoint, write_checkpoint
from horovod_ocr.checkpoint.saver import Saver, snapshot
from horovod_ocr.errors import CheckpointError
from horovod_ocr.run.folder import Ownership, checkpoints_of
from tests.unit.checkpoint.payload import tiny_payload


@pytest.fixture
def gate(monkeypatch):
    """What is written waits until it is set."""
    opened = threading.Event()

    def write(*args):
        opened.wait(10)
        return write_checkpoint(*args)

    monkeypatch.setattr(saver_module, "write_checkpoint", write)
    yield opened
    opened.set()


def test_what_changes_after_save_is_not_saved(tmp_path, gate):
    saver, payload = Saver(tmp_path, 3, 0), tiny_payload(7.0, epoch=0.5)
    saver.save(1, payload, is_best=True)
    payload["model"]["weight"].fill_(8.0)  # the next step, before anything is written
    payload["optimizer"]["state"][0]["exp_avg"].fill_(8.0)
    assert not (tmp_path / LAST).exists()
    gate.set()
    saver.close()
    saved = load_checkpoint(tmp_path, BEST)
    assert saved["model"]["weight"].tolist() == [[7.0] * 3] and saved["epoch"] == 0.5
    assert saved["optimizer"]["state"][0]["exp_avg"].max() < 1


def test_a_second_save_waits_for_the_first_and_says_how_long(tmp_path, gate, monkeypatch, capsys):
    monkeypatch.setattr(saver_module, "LONG_WAIT_S", 0.05)
    gated, found = saver_module.write_checkpoint, []

    def write(*args):
        found.append((tmp_path / LAST).read_text() if (tmp_path / LAST).exists() else None)
        return gated(*args)

    monkeypatch.setattr(saver_module, "write_checkpoint", write)
    saver = Saver(tmp_path, 3, 0)
    saver.save(1, tiny_payload(), is_best=False)
    threading.Timer(0.1, gate.set).start()
    saver.save(2, tiny_payload(), is_best=False)
    saver.close()
    assert found == [None, "step-00000001.pt\n"]
    assert (tmp_path / LAST).read_text() == "step-00000002.pt\n"
    assert capsys.readouterr().err.count("training waited 0.") == 1


def test_many_in_a_row_keep_what_is_worth_it(tmp_path):
    saver = Saver(tmp_path, 2, 3)
    for step in range(1, 13):
        saver.save(step, tiny_payload(step, epoch=step / 4), is_best=step == 5)
    saver.close()
    assert [int(path.stem[5:]) for path in checkpoints_of(tmp_path)] == [4, 5, 8, 11, 12]


def test_failures_are_counted_said_and_forgotten_when_it_works_again(tmp_path, capsys):
    saver = Saver(tmp_path, 3, 0)
    saver.save(1, tiny_payload(), is_best=False)
    saver.wait()
    (tmp_path / "checkpoints").rename(tmp_path / "away")
    for step in (2, 3):
        saver.save(step, tiny_payload(), is_best=False)
        saver.wait()
        assert saver.failures == step - 1
    said = capsys.readouterr().err
    assert said.count("checkpoint of step") == 2
    assert "step 3 could not be written (its folder is away), 2 times in a row; earlier checkpoints are kept" in said
    with pytest.raises(CheckpointError, match="the last 2 checkpoints could not be written"):
        saver.close()
    (tmp_path / "away").rename(tmp_path / "checkpoints")
    assert load_checkpoint(tmp_path)["step"] == 1
    saver.save(4, tiny_payload(), is_best=False)
    saver.close()
    assert saver.failures == 0 and load_checkpoint(tmp_path)["step"] == 4


def test_who_is_replaced_hears_of_it_at_the_next_save(tmp_path):
    saver = Saver(tmp_path, 3, 0)
    Ownership(tmp_path)
    saver.save(1, tiny_payload(), is_best=False)
    with pytest.raises(CheckpointError, match="has taken this run over"):
        saver.save(2, tiny_payload(), is_best=False)
    with pytest.raises(CheckpointError, match="has taken this run over"):
        saver.close()
    assert not (tmp_path / LAST).exists()


def test_a_fault_of_the_program_is_not_swallowed(tmp_path):
    saver = Saver(tmp_path, 3, 0)
    saver.save(1, {"model": threading.Lock()}, is_best=False)
    with pytest.raises(TypeError, match="pickle"):
        saver.close()


def test_a_snapshot_is_a_copy_of_the_same_shape():
    tensor = torch.arange(6.0).reshape(2, 3)
    value = {"a": [tensor, (1, "x")], "b": {"c": tensor.T}}
    copied = snapshot(value)
    tensor.zero_()
    assert copied["a"][0].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] and copied["a"][1] == (1, "x")
    assert copied["b"]["c"].shape == (3, 2) and copied["b"]["c"].is_contiguous() is False
