"""Checkpoints are whole or not there; a damaged one falls back; no code in a file is run."""

import os
import pickle

import pytest
import torch

from horovod_ocr.errors import CheckpointError
from horovod_ocr.training.checkpoint import (
    BEST,
    LAST,
    checkpoints_of,
    load_best,
    load_checkpoint,
    newest_run,
    pointed_to,
    read_checkpoint,
    save_checkpoint,
)


def save(run, step, is_best=False, keep=3):
    return save_checkpoint(run, step, {"weight": torch.full((3,), float(step))}, is_best, keep)


def test_last_and_best_name_what_was_saved(tmp_path):
    save(tmp_path, 10, is_best=True)
    save(tmp_path, 20)
    assert load_checkpoint(tmp_path, LAST)["step"] == 20 and load_checkpoint(tmp_path, BEST)["step"] == 10
    assert load_checkpoint(tmp_path)["weight"].tolist() == [20.0] * 3


def test_old_ones_go_and_the_best_stays(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ".step-00000009.pt.tmp-77").write_bytes(b"of a killed process")
    for step in range(1, 8):
        save(tmp_path, step, is_best=step == 2, keep=3)
    assert [path.name for path in checkpoints_of(tmp_path)] == [f"step-{n:08d}.pt" for n in (2, 5, 6, 7)]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 8  # a digest beside each, and nothing else


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_one_falls_back_to_the_one_before(tmp_path, damage, capsys):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes({"cut": content[:-100], "flip": content, "empty": b""}[damage])
    assert load_checkpoint(tmp_path)["step"] == 1
    assert "step-00000002.pt: damaged" in capsys.readouterr().err
    for other in checkpoints_of(tmp_path):
        other.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="no checkpoint up to it is whole"):
        load_checkpoint(tmp_path)


def test_code_in_a_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    path = tmp_path / "step-00000001.pt"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        read_checkpoint(path)
    torch.save({"format": Evil()}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        read_checkpoint(path)
    assert not (tmp_path / "owned").exists()


def test_files_of_others_and_of_other_versions(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of horovod-ocr"):
        read_checkpoint(path)
    torch.save({"format": "horovod-ocr checkpoint", "version": 9}, path)
    with pytest.raises(CheckpointError, match="checkpoint version 9, this program reads 1"):
        read_checkpoint(path)


def test_what_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(CheckpointError, match="train first: horovodrun"):
        newest_run(tmp_path)
    with pytest.raises(CheckpointError, match="has no LAST checkpoint; train first"):
        load_best(tmp_path, "none")


def test_the_newest_run_is_the_one_saved_last(tmp_path):
    for name in ("b", "a"):
        save(tmp_path / name, 1)
    os.utime(tmp_path / "b" / LAST, ns=(1, 1))
    assert newest_run(tmp_path).name == "a" and pointed_to(tmp_path / "a", LAST).exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "run" / "checkpoints" / "step-00000001.pt").mkdir()  # in the way, for root too
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(tmp_path / "run", 1)
