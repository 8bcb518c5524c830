"""Checkpoints are whole or not there; a damaged one falls back; no code in a file is run."""

import errno
import math
import os
import pickle
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch

from horovod_ocr.checkpoint import file, schema
from horovod_ocr.checkpoint.file import BEST, LAST, load_best, load_checkpoint, read_checkpoint, write_checkpoint
from horovod_ocr.checkpoint.schema import UnreadableError
from horovod_ocr.errors import CheckpointError
from horovod_ocr.run.folder import (
    OWNER,
    Ownership,
    checkpoints_of,
    digest_path,
    newest_run,
    pointed_to,
    read_digest,
    remove_old,
)
from tests.unit.checkpoint.payload import tiny_payload


def save(run: Path, step: int, is_best: bool = False, epoch: float = 0.0) -> Path:
    return write_checkpoint(Ownership(run), step, tiny_payload(step, epoch), is_best)


def names(*steps: int) -> list[str]:
    return [f"step-{step:08d}.pt" for step in steps]


@pytest.mark.slow
def test_last_and_best_name_what_was_saved(tmp_path):
    save(tmp_path, 10, is_best=True)
    save(tmp_path, 20)
    assert load_checkpoint(tmp_path, LAST)["step"] == 20 and load_checkpoint(tmp_path, BEST)["step"] == 10
    assert load_checkpoint(tmp_path)["model"]["weight"].tolist() == [[20.0] * 3]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_one_that_cannot_be_read_now_is_not_given_up(tmp_path, monkeypatch, error):
    """Whoever trained on from the one before it would remove it."""
    for step in (10, 20):
        save(tmp_path, step)

    def load(*args, **options):
        raise error

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(CheckpointError, match=r"00000020.pt: cannot be read \(.*Error|error\); try again, or move"):
        load_checkpoint(tmp_path)


def test_the_digest_is_as_sha256sum_wants_it_and_knows_the_epoch(tmp_path):
    path = save(tmp_path, 10, epoch=1.25)
    assert read_digest(path)[1] == 1.25
    checked = subprocess.run(["sha256sum", "--check", "--strict", digest_path(path).name], cwd=path.parent)
    assert checked.returncode == 0


def test_old_ones_go_and_the_best_stays(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ".step-00000009.pt.tmp-77").write_bytes(b"of a killed process")
    for step in range(1, 8):
        save(tmp_path, step, is_best=step == 2)
        remove_old(tmp_path, keep=3, keep_epochs=0)
    assert [path.name for path in checkpoints_of(tmp_path)] == names(2, 5, 6, 7)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 8  # a digest beside each, and nothing else


def test_the_last_of_each_of_the_latest_epochs_stays(tmp_path):
    for step in range(1, 24):  # an epoch has 4 steps; the sixth is not through yet
        save(tmp_path, step, epoch=step / 4)
        remove_old(tmp_path, keep=2, keep_epochs=4)
    assert [path.name for path in checkpoints_of(tmp_path)] == names(12, 16, 20, 22, 23)


def test_a_history_that_was_given_up_goes(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step)
    (tmp_path / LAST).write_text("step-00000001.pt\n")  # 2 and 3 were damaged: it went on from 1
    save(tmp_path, 2)
    remove_old(tmp_path, keep=3, keep_epochs=3)
    assert [path.name for path in checkpoints_of(tmp_path)] == names(1, 2)


def test_steps_are_compared_as_numbers(tmp_path):
    for step in (99_999_999, 100_000_000):
        save(tmp_path, step)
    assert load_checkpoint(tmp_path)["step"] == 100_000_000


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


@pytest.mark.parametrize("content", [b"", b"\0" * 20, b"../../../etc/passwd", b"step-00000001.pt/../x", b"\xff" * 9999])
def test_a_damaged_pointer_means_the_newest(tmp_path, content, capsys):
    for step in (1, 2):
        save(tmp_path, step)
    (tmp_path / LAST).write_bytes(content)
    assert load_checkpoint(tmp_path)["step"] == 2
    assert f"{tmp_path / LAST}: damaged" in capsys.readouterr().err


def test_a_missing_pointer_beside_checkpoints_means_the_newest(tmp_path, capsys):
    for step in (1, 2):
        save(tmp_path, step)
    (tmp_path / LAST).unlink()
    assert load_checkpoint(tmp_path)["step"] == 2
    assert f"{tmp_path / LAST}: missing" in capsys.readouterr().err


@pytest.mark.parametrize(("version", "advice"), [(schema.VERSION + 1, "update"), (schema.VERSION - 1, "train anew")])
def test_another_version_is_no_damage(tmp_path, version, advice, monkeypatch):
    """To take the checkpoint before instead would write over the steps since."""
    save(tmp_path, 1)
    monkeypatch.setattr(file, "VERSION", version)
    save(tmp_path, 2)
    with pytest.raises(UnreadableError, match=f"version {version}, this program reads {schema.VERSION}; {advice}"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("change", [{"best": math.nan}, {"epoch": math.inf}])
def test_scores_that_are_no_numbers_are_damage(tmp_path, change):
    path = write_checkpoint(Ownership(tmp_path), 1, tiny_payload() | change, is_best=False)
    with pytest.raises(CheckpointError, match=f"its field {next(iter(change))}"):
        read_checkpoint(path)


def test_code_in_a_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    path = tmp_path / "step-00000001.pt"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        read_checkpoint(path)
    torch.save({"format": Evil()}, path)
    with pytest.raises(CheckpointError, match=r"posix\.mkdir, which no checkpoint needs"):
        read_checkpoint(path)
    assert not (tmp_path / "owned").exists()


def test_files_of_others_and_of_other_versions(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of horovod-ocr"):
        read_checkpoint(path)
    torch.save({"format": "horovod-ocr checkpoint", "version": 9}, path)
    with pytest.raises(CheckpointError, match="checkpoint version 9, this program reads 3"):
        read_checkpoint(path)
    with pytest.raises(CheckpointError, match="not a file"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "y.pt")


def test_a_checkpoint_packed_again_by_a_zip_program_is_refused(tmp_path):
    path = save(tmp_path, 1)
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    with pytest.raises(CheckpointError, match=r"packed\.pt: .*compressed records"):
        read_checkpoint(packed)


def test_what_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(CheckpointError, match="train first: horovod-ocr train"):
        newest_run(tmp_path)
    with pytest.raises(CheckpointError, match="no run 'none' in .*; train first"):
        load_best(tmp_path, "none")
    save(tmp_path / "it", 1)
    with pytest.raises(CheckpointError, match="no run 'none' in .*; there are: it$"):
        load_best(tmp_path, "none")
    (tmp_path / "it" / "file").touch()
    for find in (newest_run, lambda runs: load_best(runs, "it")):
        with pytest.raises(CheckpointError, match="file is no folder"):
            find(tmp_path / "it" / "file")


def test_the_newest_run_is_the_one_saved_last(tmp_path):
    for name in ("b", "a"):
        save(tmp_path / name, 1)
    os.utime(tmp_path / "b" / LAST, ns=(1, 1))
    assert newest_run(tmp_path).name == "a" and pointed_to(tmp_path / "a", LAST).exists()
    save(tmp_path / "c", 1)
    (tmp_path / "c" / LAST).unlink()
    assert newest_run(tmp_path).name == "c"
    with pytest.raises(CheckpointError, match="no run 'none' in .*; there are: a, b, c$"):
        load_best(tmp_path, "none")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "run").write_bytes(b"in the way")  # for root too
    with pytest.raises(CheckpointError, match="run: cannot be written .*; see to its storage, or name another --runs"):
        Ownership(tmp_path / "run")


def test_who_was_replaced_writes_nothing(tmp_path):
    replaced = Ownership(tmp_path)
    write_checkpoint(replaced, 1, tiny_payload(), is_best=False)
    save(tmp_path, 2)
    (tmp_path / OWNER).write_text("node1 77 abc\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointError, match="another job, on node1, has taken this run over"):
        write_checkpoint(replaced, 3, tiny_payload(), is_best=True)
    assert sorted(tmp_path.rglob("*")) == before and load_checkpoint(tmp_path)["step"] == 2


def test_who_is_replaced_while_it_writes_leaves_last_alone(tmp_path, monkeypatch):
    save(tmp_path, 2)
    replaced, save_tensors = Ownership(tmp_path), torch.save

    def hang(*args):
        save_tensors(*args)
        Ownership(tmp_path)

    monkeypatch.setattr(torch, "save", hang)
    with pytest.raises(CheckpointError, match="has taken this run over"):
        write_checkpoint(replaced, 3, tiny_payload(), is_best=True)
    assert [path.name for path in checkpoints_of(tmp_path)] == names(2)
    assert load_checkpoint(tmp_path)["step"] == 2 and not (tmp_path / BEST).exists()
