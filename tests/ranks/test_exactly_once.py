"""Real Horovod processes read a real shard set: exactly once an epoch, killed and resumed on other ranks; damaged."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from horovod_ocr.checkpoint.file import LAST, load_checkpoint
from sharding.format.idx import read_idx
from sharding.format.index import read_index
from tests.ranks.launch import (
    ROOT,
    digests_of,
    digests_read,
    environment,
    horovodrun,
    over_ranks,
    steps_of_epoch,
    train_on_ranks,
)

pytestmark = [
    pytest.mark.ranks,
    pytest.mark.skipif(not shutil.which(horovodrun()), reason="needs Horovod: make setup builds it"),
]


@pytest.mark.parametrize("before, after, workers", [(2, 3, 0), (3, 2, 2)])
def test_two_epochs_hold_each_sample_once_though_killed_and_resumed_on_other_ranks(
    groups, word_shards, tmp_path, before, after, workers
):
    """The history that the last model descends from: the first job's steps up to its checkpoint, then the second's."""
    epoch = steps_of_epoch(word_shards, global_batch=32)
    saved = epoch - 4
    settings = {
        "shards": str(word_shards),
        "steps": 2 * epoch,
        "global_batch": 32,
        "save_every_steps": saved,
        "validate_every_steps": 10 * epoch,
        "workers": workers,
    }
    died = train_on_ranks(before, tmp_path, **settings, faults={"dies_after": saved + 2})
    assert died.returncode != 0
    assert load_checkpoint(tmp_path / "runs/it", LAST)["step"] == saved
    went_on = groups.train(after, tmp_path, **settings, resume=True)
    assert went_on.returncode == 0, went_on.stdout[-3000:] + went_on.stderr[-3000:]
    first, second = digests_read(tmp_path, before), digests_read(tmp_path, after)
    assert min(second) == saved + 1 and max(first) >= saved + 1
    assert Counter(first[saved + 1]) == Counter(second[saved + 1])  # the same batch on other ranks
    history = {step: first[step] for step in range(1, saved + 1)} | second
    assert sorted(history) == list(range(1, 2 * epoch + 1))
    for steps in (range(1, epoch + 1), range(epoch + 1, 2 * epoch + 1)):
        assert Counter(digest for step in steps for digest in history[step]) == digests_of(word_shards)


@pytest.fixture
def damaged(word_shards, tmp_path) -> Path:
    """A set in which three images of the train split have a flipped bit."""
    shards = tmp_path / "shards"
    shutil.copytree(word_shards, shards)
    flip_bits(shards, "train", 3)
    return shards


def flip_bits(shards: Path, split: str, count: int) -> None:
    """In an image of each of this many shards."""
    index = read_index(shards)
    for shard in index.of(split)[:count]:
        content = bytearray(index.tar_path(shard).read_bytes())
        content[int(read_idx(index.idx_path(shard))["image_offset"][1]) + 50] ^= 1
        index.tar_path(shard).write_bytes(content)


def words_of_train(shards: Path, folder: Path, *options: str) -> list[str]:
    words = ["train", "--shards", str(shards), "--runs", str(folder / "runs"), "--run", "it", "--recipe", "demo"]
    words += ["--set", "log_every_steps=5", "--set", "model_options.width=0.25", "--set", "model_options.hidden=24"]
    return [*words, *options]


def test_damaged_samples_are_named_once_and_counted_and_the_steps_go_on(groups, damaged, tmp_path):
    steps = 2 * steps_of_epoch(damaged, global_batch=64)
    options = ("--steps", str(steps), "--set", "validate_every_steps=1000")
    result = groups.say(2, words_of_train(damaged, tmp_path, *options), tmp_path)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    said = re.findall(r"warning: rank (\d) on \S+: (train-\d+), sample 1: the image's bytes differ", result.stderr)
    assert len(said) == len(set(said)) == 3  # once over two epochs
    lines = [json.loads(line) for line in (tmp_path / "runs/it/metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["kind"] == "train"][-1]
    assert last["step"] == steps and last["damaged"] == 3
    assert last["decode_us"] > 0 and last["read_bytes"] > 0
    assert "3 samples damaged" in result.stdout


def test_above_max_bad_all_ranks_save_and_stop_together_with_the_list(damaged, tmp_path):
    """With the exit code of horovodrun."""
    options = ("--steps", "100", "--max-bad", "2", "--set", "validate_every_steps=1000")
    command = [sys.executable, "-m", "horovod_ocr", *words_of_train(damaged, tmp_path, *options)]
    result = subprocess.run(
        over_ranks(2, command), cwd=ROOT, capture_output=True, text=True, timeout=600, env=environment()
    )
    assert result.returncode == 3, result.stdout[-3000:] + result.stderr[-3000:]
    sentence = "3 samples cannot be read, at most 2 may be (--max-bad); repair them with: horovod-ocr verify --repair"
    assert result.stderr.count(sentence) == 1
    listed = result.stderr[result.stderr.index(sentence) :]
    assert len(set(re.findall(r"rank \d on \S+: (train-\d+), sample 1:", listed))) == 3
    assert "Traceback" not in result.stderr
    stopped_at = load_checkpoint(tmp_path / "runs/it", LAST)["step"]
    assert stopped_at < 100 and stopped_at % 5 == 0


def test_above_max_bad_in_the_val_split_all_ranks_save_too(groups, word_shards, tmp_path):
    shards = tmp_path / "shards"
    shutil.copytree(word_shards, shards)
    flip_bits(shards, "val", 1)
    options = ("--steps", "20", "--max-bad", "0", "--set", "validate_every_steps=7")
    result = groups.say(2, words_of_train(shards, tmp_path, *options), tmp_path)
    assert result.returncode == 3, result.stdout[-3000:] + result.stderr[-3000:]
    assert "1 samples cannot be read, at most 0 may be (--max-bad)" in result.stderr
    assert load_checkpoint(tmp_path / "runs/it", LAST)["step"] == 7
